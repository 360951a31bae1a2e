/* What WAMR asks of a libc and some boards do not have. */
#include <zephyr/kernel.h>

#include "compat.h"

#if defined(CONFIG_EXTERNAL_LIBC) || defined(CONFIG_NATIVE_LIBC)
/* WAMR sends its printf through Zephyr's hook; a native board prints by the host's libc. */
void __stdout_hook_install(int (*hook)(int))
{
	ARG_UNUSED(hook);
}
#endif

#if defined(CONFIG_PROPLET_AOT) && defined(CONFIG_ARM) && defined(CONFIG_MINIMAL_LIBC)
/* What native code is linked to, and WAMR names whether it is or not: Run-time ABI for the Arm
 * architecture, 4.3.4. Fill and count change places in memset. */
#include <string.h>

void __aeabi_memcpy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void __aeabi_memmove(void *to, const void *from, size_t size)
{
	memmove(to, from, size);
}

void __aeabi_memset(void *to, size_t size, int fill)
{
	memset(to, fill, size);
}

void __aeabi_memclr(void *to, size_t size)
{
	memset(to, 0, size);
}
#endif

#if defined(CONFIG_ARCH_POSIX) && !COMPAT_ZEPHYR(3, 7)
/* A native board that starts anew ends its process; whoever started it may do so again. */
void posix_exit(int code);

void sys_arch_reboot(int type)
{
	ARG_UNUSED(type);
	posix_exit(0);
}
#endif
