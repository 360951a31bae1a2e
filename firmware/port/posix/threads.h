/* Threads, memory and waiting for guests of the posix port: struct proplet_os by pthreads. */
#ifndef PROPLET_POSIX_THREADS_H
#define PROPLET_POSIX_THREADS_H

#include <pthread.h>

#include "runner.h"

struct threads {
	struct proplet_os os;
	struct proplet_runner *runner;
	pthread_mutex_t lock;
	int bell; /* an eventfd: readable when a guest ended */
	pthread_t watch; /* looks ten times a second whether a guest is past its time */
	atomic_bool over;
	struct thread {
		pthread_t thread;
		void (*fn)(void *arg);
		void *arg;
	} slots[PROPLET_SLOTS_MAX];
};

bool threads_open(struct threads *threads, struct proplet_runner *runner);
/* Starts the watch, once the runner is made. */
bool threads_watch(struct threads *threads);
void threads_close(struct threads *threads);

#endif
