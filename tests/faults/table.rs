//! What all trials came to.

use std::collections::BTreeMap;

use serde_json::Value;

/// The sums of one scene and kind.
#[derive(Default)]
struct Row {
    tried: usize,
    refused: usize,
    succeeded: usize,
    starved: usize,
    wrong: usize,
    cause: usize,
    paths: usize,
    named: usize,
}

/// See the module's description.
#[derive(Default)]
pub struct Table {
    /// In the order of their first appearance: scene, calls by process.
    scenes: Vec<(String, Vec<u64>)>,
    rows: BTreeMap<(String, String), Row>,
    /// Scenes that could not be played, and workers that broke off.
    broken: Vec<String>,
    /// Scenes that need another machine.
    skipped: Vec<String>,
    wrong: usize,
}

impl Table {
    /// Takes in a line of a worker's.
    pub fn add(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return println!("{line}");
        };
        let scene = line["scene"].as_str().unwrap_or_default().to_owned();
        if line["broken"].is_number() {
            self.broken.push(format!("a worker broke off: {line}"));
        } else if let Some(why) = line["skipped"].as_str() {
            let told = format!("{scene}: skipped, {why}");
            if !self.skipped.contains(&told) {
                self.skipped.push(told);
            }
        } else if let Some(why) = line["closed"].as_str() {
            self.broken.push(format!("{scene} cannot be tried: {why}"));
        } else if let Some(calls) = line["calls"].as_array() {
            if self.scenes.iter().all(|(known, _)| *known != scene) {
                self.scenes.push((scene, calls.iter().filter_map(Value::as_u64).collect()));
            }
        } else {
            self.count(scene, &line);
        }
    }

    fn count(&mut self, scene: String, line: &Value) {
        let kind = line["kind"].as_str().unwrap_or_default().to_owned();
        let kind_is_fault = kind == "fault";
        let row = self.rows.entry((scene, kind)).or_default();
        match line["verdict"].as_str() {
            Some("refused") => {
                row.refused += 1;
                row.cause += usize::from(line["cause"] == true);
                row.paths += usize::from(line["path"].is_boolean());
                row.named += usize::from(line["path"] == true);
                if std::env::var_os("UNNAMED").is_some() && kind_is_fault && line["cause"] == false
                {
                    println!("cause unnamed: {}", line["text"]);
                }
                if std::env::var_os("UNNAMED").is_some() && line["path"] == false {
                    println!("path unnamed: {}", line["text"]);
                }
            }
            Some("succeeded") => row.succeeded += 1,
            Some("out of memory") => row.starved += 1,
            Some("wrong") => {
                row.wrong += 1;
                self.wrong += 1;
                println!("WRONG {}", line["text"].as_str().unwrap_or_default());
                for why in line["why"].as_array().into_iter().flatten() {
                    println!("      {}", why.as_str().unwrap_or_default());
                }
            }
            _ => return,
        }
        row.tried += 1;
    }

    pub fn print(&self) {
        println!();
        println!("{:16} {:>16} {:>6} {:>6}", "killed", "calls", "tried", "wrong");
        let mut sum = Row::default();
        for (scene, calls) in &self.scenes {
            let Some(row) = self.rows.get(&(scene.clone(), "kill".to_owned())) else { continue };
            let calls: Vec<String> = calls.iter().map(u64::to_string).collect();
            println!("{scene:16} {:>16} {:>6} {:>6}", calls.join("+"), row.tried, row.wrong);
            sum.tried += row.tried;
            sum.wrong += row.wrong;
        }
        println!("{:16} {:>16} {:>6} {:>6}", "all", "", sum.tried, sum.wrong);
        println!();
        println!(
            "{:16} {:>8} {:>8} {:>9} {:>9} {:>6} {:>12} {:>12}",
            "made to fail",
            "injected",
            "refused",
            "succeeded",
            "no memory",
            "wrong",
            "cause named",
            "path named"
        );
        let mut sum = Row::default();
        for (scene, _) in &self.scenes {
            let Some(row) = self.rows.get(&(scene.clone(), "fault".to_owned())) else { continue };
            print_faults(scene, row);
            sum.tried += row.tried;
            sum.refused += row.refused;
            sum.succeeded += row.succeeded;
            sum.starved += row.starved;
            sum.wrong += row.wrong;
            sum.cause += row.cause;
            sum.paths += row.paths;
            sum.named += row.named;
        }
        print_faults("all", &sum);
        for broken in self.skipped.iter().chain(&self.broken) {
            println!("{broken}");
        }
    }

    pub fn is_right(&self) -> bool {
        self.wrong == 0 && self.broken.is_empty()
    }
}

fn print_faults(name: &str, row: &Row) {
    println!(
        "{name:16} {:>8} {:>8} {:>9} {:>9} {:>6} {:>12} {:>12}",
        row.tried,
        row.refused,
        row.succeeded,
        row.starved,
        row.wrong,
        format!("{}/{}", row.cause, row.refused),
        format!("{}/{}", row.named, row.paths),
    );
}
