/*
 * Starts the bundle's interpreter, by the bundle's own dynamic loader and C library, wherever the bundle lies.
 *
 * A program and not a script: the kernel wants an absolute interpreter behind #!, and the images in question have no
 * shell. The loader is called by name, so that neither the image's C library nor LD_LIBRARY_PATH has a say.
 *
 * As bin/pyinit it blocks every signal first: PID 1 loses what comes unblocked, and the interpreter takes milliseconds
 * until it runs a statement of ours. The mask of before is the child's to have; it goes ahead of the arguments, where
 * pyinit.launched takes it off. Not by a variable: the environment is the child's, and is handed on to the byte.
 *
 * No C library: with one, static, it is 700 KiB, and its own start is part of the time in which signals are lost.
 *
 * SCRIPT is what the interpreter is to run, below lib; without it the arguments are the interpreter's own, as those of
 * sys.executable are. BLOCKS says whether signals are blocked for it.
 */
#define PLACE "/opt/pyinit" /* where a copy that lies elsewhere, or is mounted as an engine's init, looks */
#define PATH_BYTES 4096
/* The kernel's numbers that we need, so that no headers are: a cross compiler often comes without. */
#define SIG_BLOCK 0
#define AT_NULL 0
#define AT_EXECFN 31
#define AT_FDCWD (-100L)
#define ENOENT 2
#define EACCES 13
#define ENOTDIR 20
/* The C library's own two (SIGCANCEL, SIGSETXID) stay as they are: it relies on them, and the child has no use for it. */
#define ALL_SIGNALS (~0UL & ~(3UL << 31))

#if defined(__x86_64__)
enum { WRITE = 1, RT_SIGPROCMASK = 14, EXECVE = 59, EXIT_GROUP = 231, READLINKAT = 267 };
static long call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
enum { WRITE = 64, READLINKAT = 78, EXIT_GROUP = 94, RT_SIGPROCMASK = 135, EXECVE = 221 };
static long call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl begin\n");
#else
#error "only x86_64 and aarch64 have their system calls here"
#endif

static unsigned long length(const char *text)
{
    unsigned long n = 0;
    while (text[n])
        n++;
    return n;
}

/* root + tail; an empty text where that is too long. */
static char *joined(char *to, const char *root, unsigned long root_bytes, const char *tail)
{
    unsigned long i, tail_bytes = length(tail);
    to[0] = 0;
    if (root_bytes + tail_bytes >= PATH_BYTES)
        return to;
    for (i = 0; i < root_bytes; i++)
        to[i] = root[i];
    for (i = 0; i <= tail_bytes; i++)
        to[root_bytes + i] = tail[i];
    return to;
}

/* How much of FOLDER/bin/NAME is FOLDER; -1 where it has no such form. */
static long root_of(const char *path, long bytes)
{
    int up;
    for (up = 0; up < 2; up++) {
        while (bytes > 0 && path[bytes - 1] != '/')
            bytes--;
        if (bytes-- <= 0)
            return -1;
    }
    return bytes;
}

static void say(const char *text)
{
    call(WRITE, 2, (long)text, (long)length(text), 0);
}

static long try_at(const char *root, unsigned long root_bytes, int argc, char **argv, char **envp, unsigned long mask)
{
    static char loader[PATH_BYTES], libraries[PATH_BYTES], name[PATH_BYTES], python[PATH_BYTES];
    /* 14 words of ours at the most, argv, and the end. */
    char **words = __builtin_alloca(((unsigned long)argc + 16) * sizeof(char *));
    int n = 0, i;
    (void)mask;
    words[n++] = argc ? argv[0] : "pyinit";
    words[n++] = "--inhibit-cache";
    words[n++] = "--library-path";
    words[n++] = joined(libraries, root, root_bytes, "/libexec");
    words[n++] = "--argv0"; /* sys.executable, and from it sys.prefix */
    words[n++] = joined(name, root, root_bytes, "/libexec/python");
    words[n++] = joined(python, root, root_bytes, "/libexec/cpython");
#ifdef SCRIPT
    static char script[PATH_BYTES];
    words[n++] = "-IS";
    words[n++] = "-Xutf8"; /* no codec of another locale is here; bytes go through it unchanged */
    words[n++] = joined(script, root, root_bytes, "/lib/" SCRIPT);
#if BLOCKS
    static char digits[17];
    for (i = 0; i < 16; i++)
        digits[i] = "0123456789abcdef"[(mask >> (60 - 4 * i)) & 15];
    words[n++] = digits;
#endif
    words[n++] = argc ? argv[0] : "pyinit";
#endif
    for (i = 1; i < argc; i++)
        words[n++] = argv[i];
    words[n] = 0;
    /* Under this name, as the kernel's name of the process is its file's: ps and pidof find pyinit. */
    joined(loader, root, root_bytes, "/libexec/pyinit");
    return call(EXECVE, (long)loader, (long)words, (long)envp, 0);
}

__attribute__((used, noreturn)) void begin(long *stack)
{
    static char own[PATH_BYTES];
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1, **end = envp;
    unsigned long mask = 0, *auxiliary;
    long bytes, root_bytes, error = -ENOENT;
#if defined(SCRIPT) && BLOCKS
    unsigned long all = ALL_SIGNALS;
    call(RT_SIGPROCMASK, SIG_BLOCK, (long)&all, (long)&mask, sizeof all);
#endif
    bytes = call(READLINKAT, AT_FDCWD, (long)"/proc/self/exe", (long)own, PATH_BYTES - 1);
    if (bytes > 0 && (root_bytes = root_of(own, bytes)) >= 0)
        error = try_at(own, (unsigned long)root_bytes, argc, argv, envp, mask);
    else {
        /* No /proc: by the name that we were started with. */
        while (*end)
            end++;
        for (auxiliary = (unsigned long *)(end + 1); auxiliary[0] != AT_NULL; auxiliary += 2)
            if (auxiliary[0] == AT_EXECFN) {
                const char *path = (const char *)auxiliary[1];
                if ((root_bytes = root_of(path, (long)length(path))) >= 0)
                    error = try_at(path, (unsigned long)root_bytes, argc, argv, envp, mask);
            }
    }
    if (error == -ENOENT || error == -ENOTDIR || error == -EACCES) {
        long elsewhere = try_at(PLACE, sizeof PLACE - 1, argc, argv, envp, mask);
        if (error != -EACCES) /* else it is here: that it is not there either says nothing */
            error = elsewhere;
    }
    say(error == -ENOENT || error == -ENOTDIR
            ? "pyinit: its files are neither beside this program (../libexec) nor in " PLACE ": copy all of " PLACE
              " into the image\n"
            : "pyinit: the interpreter in ../libexec or " PLACE "/libexec cannot be executed\n");
    call(EXIT_GROUP, 127, 0, 0, 0);
    __builtin_unreachable();
}
