/* What Rust's standard library for the GNU C library, libgcc and libseccomp ask for, and musl 1.2.3
 * does not have. */

#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The handle of a program that is no shared library. */
void *__dso_handle = 0;

/* Older than any: the standard library then relies on no function that came later. */
const char *gnu_get_libc_version(void) { return "0.0"; }

/* "Not found": libgcc then looks at the program headers, as it does with older libraries. */
int _dl_find_object(void *pc, void *result) { return -1; }

/* Weak: later versions have it. */
__attribute__((weak)) int statx(int dir, const char *path, int flags, unsigned mask, void *result) {
    return syscall(SYS_statx, dir, path, flags, mask, result);
}

/* The name of fprintf in libseccomp, which Debian compiles with _FORTIFY_SOURCE. */
int __fprintf_chk(FILE *file, int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int printed = vfprintf(file, format, arguments);
    va_end(arguments);
    return printed;
}
