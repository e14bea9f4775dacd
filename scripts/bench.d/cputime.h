/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cputime.h - the CPU time that each thread of another process has used, and how long
 * they were ready to run and had no processor.
 */
#ifndef LOADGEN_CPUTIME_H
#define LOADGEN_CPUTIME_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define TASKS_MAX 256

struct tasks {
    int n;
    int id[TASKS_MAX];
    double cpu_us[TASKS_MAX];
    double waited_us; /* all of them; 0 where the kernel does not tell */
};

/* Nanosecond counts of the scheduler where the kernel keeps them, clock ticks elsewhere.
 */
static inline double
task_cpu_us(pid_t process, int task, double *waited_us)
{
    char path[96], line[1024];
    unsigned long long ns = 0, waited = 0;
    unsigned long user = 0, system = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)process, task);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        int got = fscanf(file, "%llu %llu", &ns, &waited);
        fclose(file);
        *waited_us += (double)waited / 1000.0;
        if (got >= 1 && ns > 0)
            return (double)ns / 1000.0;
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)process, task);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    size_t len = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[len] = '\0';
    const char *end = strrchr(line, ')');
    if (end != NULL)
        sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
            &system);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static inline void
tasks_read(pid_t process, struct tasks *tasks)
{
    char path[64];
    const struct dirent *entry;

    tasks->n = 0;
    tasks->waited_us = 0;
    if (process <= 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL && tasks->n < TASKS_MAX) {
        if (entry->d_name[0] == '.')
            continue;
        int task = atoi(entry->d_name);
        tasks->id[tasks->n] = task;
        tasks->cpu_us[tasks->n++] = task_cpu_us(process, task, &tasks->waited_us);
    }
    closedir(dir);
}

static inline double
tasks_find(const struct tasks *tasks, int id)
{
    for (int i = 0; i < tasks->n; i++)
        if (tasks->id[i] == id)
            return tasks->cpu_us[i];
    return 0;
}

#endif
