/* See threads.h. */
#include <zephyr/kernel.h>

#include "threads.h"
#include "wasm_export.h"

#define GUEST_PRIORITY K_PRIO_PREEMPT(12) /* below everything that keeps the device alive */

K_THREAD_STACK_ARRAY_DEFINE(stacks, CONFIG_PROPLET_SLOTS, CONFIG_PROPLET_GUEST_STACK);
K_SEM_DEFINE(proplet_bell, 0, 1);
K_MUTEX_DEFINE(slots_lock);

static struct k_thread threads[CONFIG_PROPLET_SLOTS];

static void enter(void *fn, void *arg, void *unused)
{
	ARG_UNUSED(unused);
	((void (*)(void *))fn)(arg);
}

static bool spawn(void *ctx, unsigned slot, void (*fn)(void *arg), void *arg)
{
	ARG_UNUSED(ctx);
	k_thread_create(&threads[slot], stacks[slot], K_THREAD_STACK_SIZEOF(stacks[slot]), enter,
			(void *)fn, arg, NULL, GUEST_PRIORITY, 0, K_NO_WAIT);
	k_thread_name_set(&threads[slot], "guest");
	return true;
}

static void join(void *ctx, unsigned slot)
{
	ARG_UNUSED(ctx);
	k_thread_join(&threads[slot], K_FOREVER);
}

static void lock(void *ctx)
{
	ARG_UNUSED(ctx);
	k_mutex_lock(&slots_lock, K_FOREVER);
}

static void unlock(void *ctx)
{
	ARG_UNUSED(ctx);
	k_mutex_unlock(&slots_lock);
}

static void wake(void *ctx)
{
	ARG_UNUSED(ctx);
	k_sem_give(&proplet_bell);
}

static void wait_ms(void *ctx, int64_t ms)
{
	ARG_UNUSED(ctx);
	k_sleep(K_MSEC(ms));
}

static void *take(void *ctx, size_t size)
{
	ARG_UNUSED(ctx);
	return wasm_runtime_malloc((uint32_t)size);
}

static void give(void *ctx, void *memory)
{
	ARG_UNUSED(ctx);
	wasm_runtime_free(memory);
}

const struct proplet_os proplet_zephyr_os = {
	.spawn = spawn,
	.join = join,
	.lock = lock,
	.unlock = unlock,
	.wake = wake,
	.wait = wait_ms,
	.take = take,
	.give = give,
};
