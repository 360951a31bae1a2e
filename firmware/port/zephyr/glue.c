/* What WAMR asks of a libc and some boards do not have. */
#include <zephyr/kernel.h>

#if defined(CONFIG_EXTERNAL_LIBC) || defined(CONFIG_NATIVE_LIBC)
/* WAMR sends its printf through Zephyr's hook; a native board prints by the host's libc. */
void __stdout_hook_install(int (*hook)(int))
{
	ARG_UNUSED(hook);
}
#endif
