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

#if defined(CONFIG_ARCH_POSIX) && !COMPAT_ZEPHYR(3, 7)
/* A native board that starts anew ends its process; whoever started it may do so again. */
void posix_exit(int code);

void sys_arch_reboot(int type)
{
	ARG_UNUSED(type);
	posix_exit(0);
}
#endif
