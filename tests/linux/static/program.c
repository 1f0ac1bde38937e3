/* What an ordinary program does with a C library; the first argument says which part of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int hello(void)
{
	puts("hello");
	fprintf(stderr, "%s, and %.3f\n", getenv("A"), 3.14159);
	return 7;
}

static int memory(void)
{
	enum { BLOCKS = 200 };
	unsigned char *block[BLOCKS], *zeros;
	unsigned long sum = 0;
	int i;
	for (i = 0; i < BLOCKS; i++) memset(block[i] = malloc(i * 977 + 1), i, i * 977 + 1);
	for (i = 0; i < BLOCKS; i += 2) free(block[i]);
	for (i = 1; i < BLOCKS; i += 2) {
#ifndef __dietlibc__
		block[i] = realloc(block[i], i * 3000 + 5);
#endif
		sum += block[i][i * 977];
	}
	memset(block[0] = malloc(3 << 20), 7, 3 << 20);
#ifndef __dietlibc__ /* which cannot do without mremap */
	block[0] = realloc(block[0], 9 << 20);
	sum += block[0][(3 << 20) - 1];
	block[0] = realloc(block[0], 5000);
	sum += block[0][4999];
#endif
	zeros = calloc(1000, 1000);
	for (i = 0; i < 1000000; i++) sum += zeros[i];
	printf("%lu\n", sum);
	return 0;
}

static int files(void)
{
	char line[100];
	long sum = 0;
	int i, count = 0;
	struct stat told;
	FILE *file = fopen("data", "w");
	for (i = 0; i < 2000; i++) fprintf(file, "line %d\n", i);
	fclose(file);
	file = fopen("data", "r");
	while (fgets(line, sizeof line, file)) {
		count++;
		sum += atoi(line + 5);
	}
	fseek(file, -10, SEEK_END);
	fgets(line, sizeof line, file);
	printf("%d lines, %ld, at %ld: %s", count, sum, ftell(file), line);
	fclose(file);
	stat("data", &told);
	printf("%ld %o %d\n", (long)told.st_size, (unsigned)told.st_mode, isatty(1));
	if (!fopen("absent", "r")) printf("%s\n", strerror(errno));
	perror("absent");
	return remove("data");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int folders(void)
{
	char name[100], *names[64];
	int i, count = 0;
	struct dirent *entry;
	DIR *folder;
	mkdir("folder", 0755);
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "folder/name-%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	rename("folder/name-7", "folder/seven");
	unlink("folder/name-8");
	folder = opendir("folder");
	while ((entry = readdir(folder))) names[count++] = strdup(entry->d_name);
	closedir(folder);
	qsort(names, count, sizeof *names, by_name);
	for (i = 0; i < count; i++) puts(names[i]);
	chdir("folder");
	puts(strrchr(getcwd(name, sizeof name), '/'));
	if (rmdir("../folder")) puts(strerror(errno));
	return 3;
}

static jmp_buf here;

static void deeper(int n)
{
	if (!n) longjmp(here, 42);
	deeper(n - 1);
}

static int jumps(void)
{
	volatile int came = 0;
	int value = setjmp(here);
	came++;
	if (came < 5) deeper(came * 100);
	printf("%d, %d times\n", value, came);
	return value;
}

int main(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : "";
	if (!strcmp(part, "hello")) return hello();
	if (!strcmp(part, "memory")) return memory();
	if (!strcmp(part, "files")) return files();
	if (!strcmp(part, "folders")) return folders();
	if (!strcmp(part, "jumps")) return jumps();
	return 99;
}
