/* Preloaded into the trainer, makes the Nth change of files below a folder go wrong.
 *
 * FAULT_DIR: the folder. FAULT_AT: which change, counted from 1; with 0 nothing goes wrong. FAULT: `kill` (SIGKILL before
 * it), `torn` (half of what is written, then SIGKILL), the number of an error that it fails with from then on, as on a
 * full disk, or `slow`, where every change takes FAULT_AT milliseconds more. FAULT_COUNT: a file that gets the number of
 * changes at the end. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long count;

static int is_below(const char *path) {
    const char *folder = getenv("FAULT_DIR");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_below_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* 0: go on. 1: write half and die. -1: fail with errno. */
static int change(void) {
    const char *at = getenv("FAULT_AT"), *fault = getenv("FAULT");
    long number = atomic_fetch_add(&count, 1) + 1, wanted = at ? atol(at) : 0;
    if (!wanted || !fault) return 0;
    if (strcmp(fault, "slow") == 0) usleep(1000 * wanted);
    if (strcmp(fault, "kill") == 0 && number == wanted) raise(SIGKILL);
    if (strcmp(fault, "torn") == 0 && number == wanted) return 1;
    if (atoi(fault) && number >= wanted) {
        errno = atoi(fault);
        return -1;
    }
    return 0;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld", atomic_load(&count));
        fclose(file);
    }
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

#define GUARDED(type, name, parameters, is_watched, ...)            \
    type name parameters {                                         \
        if (is_watched) {                                          \
            int what = change();                                   \
            if (what < 0) return -1;                               \
            if (what > 0) raise(SIGKILL);                          \
        }                                                          \
        return REAL(name, __VA_ARGS__);                            \
    }

ssize_t write(int fd, const void *data, size_t size) {
    if (fd > 2 && is_below_fd(fd)) {
        int what = change();
        if (what < 0) return -1;
        if (what > 0) {
            REAL(write, fd, data, size / 2);
            raise(SIGKILL);
        }
    }
    return REAL(write, fd, data, size);
}

GUARDED(int, fsync, (int fd), is_below_fd(fd), fd)
GUARDED(int, fdatasync, (int fd), is_below_fd(fd), fd)
GUARDED(int, rename, (const char *from, const char *to), is_below(to), from, to)
GUARDED(int, mkdir, (const char *path, mode_t mode), is_below(path), path, mode)
GUARDED(int, unlink, (const char *path), is_below(path), path)
GUARDED(int, rmdir, (const char *path), is_below(path), path)

int unlinkat(int folder, const char *path, int flags) {
    if (is_below_fd(folder) || is_below(path)) {
        int what = change();
        if (what < 0) return -1;
        if (what > 0) raise(SIGKILL);
    }
    return REAL(unlinkat, folder, path, flags);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if ((flags & O_CREAT) && is_below(path)) {
        int what = change();
        if (what < 0) return -1;
        if (what > 0) raise(SIGKILL);
    }
    return REAL(open64, path, flags, mode);
}
