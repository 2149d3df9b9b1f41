/* entries FUNCTIONS OUTPUT PROGRAM ARG...: which functions a program calls.
 *
 * FUNCTIONS holds the addresses of functions of a program that is not position
 * independent, in hexadecimal, one per line, ascending. A breakpoint lies on
 * each of them until it is first met, in the program, in what it executes in
 * its own place, and in its children. The addresses that were met are appended
 * to OUTPUT in the order of their first call.
 *
 * Ends with the program, with its status. What outlives it is let go unharmed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FUNCTIONS = 1 << 17, MOST_CHILDREN = 64, BREAKPOINT = 0xcc };

static unsigned long entries[MOST_FUNCTIONS];
static char met[MOST_FUNCTIONS];
static size_t entry_count;
static unsigned char *original, *armed; /* the text from the first entry to behind the last */
static size_t text_size;
static pid_t children[MOST_CHILDREN];
static size_t child_count;

static void fail(const char *what)
{
    perror(what);
    exit(125);
}

static void read_entries(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail(path);
    while (entry_count < MOST_FUNCTIONS && fscanf(file, "%lx", &entries[entry_count]) == 1)
        entry_count++;
    fclose(file);
    if (entry_count == 0)
        fail("no functions");
    text_size = entries[entry_count - 1] + 1 - entries[0];
}

static int memory(pid_t pid, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    return open(path, flags);
}

static void write_text(pid_t pid, unsigned long at, const void *bytes, size_t count)
{
    int file = memory(pid, O_RDWR);
    if (file >= 0 && pwrite(file, bytes, count, at) != (ssize_t)count)
        perror("write breakpoints");
    close(file);
}

/* Whether the process has the traced program's text, breakpoints or not. */
static int runs_it(pid_t pid)
{
    unsigned char *now = malloc(text_size);
    int file = memory(pid, O_RDONLY);
    int same = file >= 0 && pread(file, now, text_size, entries[0]) == (ssize_t)text_size;
    for (size_t i = 0; same && i < text_size; i++)
        same = now[i] == original[i] || now[i] == armed[i];
    close(file);
    free(now);
    return same;
}

static ssize_t entry_at(unsigned long address)
{
    size_t low = 0, high = entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (entries[middle] < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < entry_count && entries[low] == address ? (ssize_t)low : -1;
}

static void step_over(pid_t pid, FILE *output)
{
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, pid, 0, &registers);
    ssize_t entry = entry_at(registers.rip - 1);
    if (entry < 0)
        return;
    if (!met[entry]) {
        met[entry] = 1;
        fprintf(output, "%lx\n", entries[entry]);
    }
    write_text(pid, entries[entry], original + (entries[entry] - entries[0]), 1);
    registers.rip--;
    ptrace(PTRACE_SETREGS, pid, 0, &registers);
}

static void adopt(pid_t pid, pid_t first)
{
    for (size_t i = 0; i < child_count; i++)
        if (children[i] == pid)
            return;
    if (pid != first && child_count < MOST_CHILDREN)
        children[child_count++] = pid;
}

static pid_t start(char *argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[0], argv);
        _exit(127);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        fail(argv[0]);
    ptrace(PTRACE_SETOPTIONS, pid, 0,
           PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
    return pid;
}

static void arm(pid_t pid)
{
    original = malloc(text_size);
    armed = malloc(text_size);
    int file = memory(pid, O_RDONLY);
    if (file < 0 || pread(file, original, text_size, entries[0]) != (ssize_t)text_size)
        fail("read the program");
    close(file);
    memcpy(armed, original, text_size);
    for (size_t i = 0; i < entry_count; i++)
        armed[entries[i] - entries[0]] = BREAKPOINT;
    write_text(pid, entries[0], armed, text_size);
}

/* Stopped first: one that stands at a breakpoint would go on behind its first byte. */
static void let_go(pid_t pid, FILE *output)
{
    int status;
    kill(pid, SIGSTOP);
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        int trap = WSTOPSIG(status) == SIGTRAP;
        if (trap && !(status >> 16))
            step_over(pid, output);
        if (!trap) {
            if (runs_it(pid))
                write_text(pid, entries[0], original, text_size);
            ptrace(PTRACE_DETACH, pid, 0, 0);
            return;
        }
        ptrace(PTRACE_CONT, pid, 0, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    read_entries(argv[1]);
    FILE *output = fopen(argv[2], "a");
    if (!output)
        fail(argv[2]);
    pid_t first = start(argv + 3);
    arm(first);
    ptrace(PTRACE_CONT, first, 0, 0);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            fail("wait");
        if (!WIFSTOPPED(status)) {
            if (pid != first)
                continue;
            for (size_t i = 0; i < child_count; i++)
                let_go(children[i], output);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        adopt(pid, first);
        if (event == PTRACE_EVENT_EXEC && runs_it(pid))
            write_text(pid, entries[0], armed, text_size);
        else if (!event && signal == SIGTRAP)
            step_over(pid, output);
        /* The stop that a child is born with is not for it. */
        int own = event || signal == SIGTRAP || signal == SIGSTOP;
        ptrace(PTRACE_CONT, pid, 0, own ? 0 : signal);
    }
}
