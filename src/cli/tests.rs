use super::*;
use crate::error::FAILURE;
use std::fs;

fn status(args: &[&str]) -> u8 {
    let args = std::iter::once("cloison").chain(args.iter().copied()).map(OsString::from);
    run(args, Caller::Guest)
}

#[test]
fn an_error_is_one_json_object_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let bundle = dir.path().join("bundle");
    fs::create_dir(&bundle).unwrap();
    fs::write(bundle.join("config.json"), "{\"ociVersion\":\"7.0.0\"}").unwrap();
    let root = dir.path().join("root");
    let words = [
        "--root",
        root.to_str().unwrap(),
        "--log",
        log.to_str().unwrap(),
        "--log-format",
        "json",
        "create",
        "x",
        "--bundle",
        bundle.to_str().unwrap(),
    ];
    assert_eq!(status(&words), FAILURE);
    let text = fs::read_to_string(&log).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["level"], "error");
    assert_eq!(object["code"], "CONFIG_INVALID");
    assert_eq!(object["config"], "/ociVersion");
    assert_eq!(object["path"], bundle.join("config.json").to_str().unwrap());
    let message = object["msg"].as_str().unwrap();
    assert!(message.ends_with("version 7.0.0 is not supported, only 1.0.0 and later 1.x"));
}

#[test]
fn usage_errors_reach_the_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let name = log.to_str().unwrap();
    assert_eq!(status(&["--log", name, "--log-format=json", "create", "--nope"]), FAILURE);
    let text = fs::read_to_string(&log).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["code"], "USAGE");
    assert_eq!(object["msg"], "unexpected argument '--nope' found");
}

#[test]
fn a_log_that_cannot_be_opened_is_a_failure() {
    assert_eq!(status(&["--log", "/nonexistent/log", "features"]), FAILURE);
}

#[test]
fn ids_and_signals_are_checked_before_anything_is_touched() {
    assert_eq!(status(&["state", "../x"]), FAILURE);
    assert_eq!(status(&["kill", "x", "FROB"]), FAILURE);
    assert_eq!(status(&[]), FAILURE);
}

#[test]
fn every_definition_is_consistent() {
    options::command().debug_assert();
}
