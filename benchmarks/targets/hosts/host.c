/* Runs a model and answers requests, a line of JSON each: prepare, block. Argument: the folder of
   the model. FEATURES and CLASSES are those of one sample; host_predict comes from elsewhere. */

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGEST 128
#define WARM_UP 0.2

void host_predict(const float *x, float *y, int n);

static float x[LARGEST * FEATURES], y[LARGEST * CLASSES], expected[LARGEST * CLASSES];
static int batch = 1;
static long calls = 1;

static double now(clockid_t clock)
{
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void run(long times)
{
  for (long i = 0; i < times; ++i) host_predict(x, y, batch);
}

static void read_floats(const char *folder, const char *name, float *into, size_t count)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file || fread(into, sizeof(float), count, file) != count) exit(2);
  fclose(file);
}

static double number(const char *line, const char *name)
{
  const char *place = strstr(line, name);
  return place ? strtod(strchr(place, ':') + 1, NULL) : 0.0;
}

static void prepare(const char *line)
{
  batch = (int)number(line, "\"batch\"");
  run(1);
  double largest = 0;
  for (int i = 0; i < batch * CLASSES; ++i) largest = fmax(largest, fabs(y[i] - expected[i]));
  calls = 1;
  for (double start = now(CLOCK_MONOTONIC); now(CLOCK_MONOTONIC) - start < WARM_UP; calls *= 2)
    run(calls);
  double start = now(CLOCK_MONOTONIC);
  run(calls);
  calls = lround((double)calls * number(line, "\"seconds\"") / (now(CLOCK_MONOTONIC) - start));
  if (calls < 1) calls = 1;
  printf("{\"calls\": %ld, \"difference\": %g}\n", calls, largest);
}

static void block(void)
{
  double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  run(calls);
  wall = now(CLOCK_MONOTONIC) - wall;
  cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  printf("{\"wall\": %g, \"cpu\": %g}\n", wall / (double)calls, cpu / (double)calls);
}

int main(int argc, char **argv)
{
  char line[4096];
  if (argc != 2) return 2;
  read_floats(argv[1], "samples.f32", x, sizeof x / sizeof *x);
  read_floats(argv[1], "expected.f32", expected, sizeof expected / sizeof *expected);
  while (fgets(line, sizeof line, stdin)) {
    if (strstr(line, "prepare")) prepare(line);
    else block();
    fflush(stdout);
  }
  return 0;
}
