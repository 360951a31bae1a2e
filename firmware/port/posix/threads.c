/* See threads.h. */
#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (2U << 20)
#define WATCH_MS 20

static void *run(void *given)
{
	struct thread *thread = given;

	thread->fn(thread->arg);
	return NULL;
}

static bool spawn(void *ctx, unsigned slot, void (*fn)(void *arg), void *arg)
{
	struct threads *threads = ctx;
	struct thread *thread = &threads->slots[slot];
	pthread_attr_t attr;
	sigset_t all;
	sigset_t before;
	bool fine;

	thread->fn = fn;
	thread->arg = arg;
	sigfillset(&all); /* signals are the main thread's */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	fine = pthread_create(&thread->thread, &attr, run, thread) == 0;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return fine;
}

static void join(void *ctx, unsigned slot)
{
	pthread_join(((struct threads *)ctx)->slots[slot].thread, NULL);
}

static void lock(void *ctx)
{
	pthread_mutex_lock(&((struct threads *)ctx)->lock);
}

static void unlock(void *ctx)
{
	pthread_mutex_unlock(&((struct threads *)ctx)->lock);
}

static void wake(void *ctx)
{
	eventfd_write(((struct threads *)ctx)->bell, 1);
}

static void wait_ms(void *ctx, int64_t ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	(void)ctx;
	nanosleep(&time, NULL);
}

static void *take(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size == 0 ? 1 : size);
}

static void give(void *ctx, void *memory)
{
	(void)ctx;
	free(memory);
}

static void *watch(void *given)
{
	struct threads *threads = given;

	while (!atomic_load(&threads->over)) {
		proplet_runner_tick(threads->runner);
		wait_ms(NULL, WATCH_MS);
	}
	return NULL;
}

bool threads_open(struct threads *threads, struct proplet_runner *runner)
{
	*threads = (struct threads){.runner = runner,
				    .os = {.ctx = threads,
					   .spawn = spawn,
					   .join = join,
					   .lock = lock,
					   .unlock = unlock,
					   .wake = wake,
					   .wait = wait_ms,
					   .take = take,
					   .give = give}};
	threads->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return threads->bell >= 0 && pthread_mutex_init(&threads->lock, NULL) == 0;
}

bool threads_watch(struct threads *threads)
{
	return pthread_create(&threads->watch, NULL, watch, threads) == 0;
}

void threads_close(struct threads *threads)
{
	atomic_store(&threads->over, true);
	pthread_join(threads->watch, NULL);
	close(threads->bell);
	pthread_mutex_destroy(&threads->lock);
}
