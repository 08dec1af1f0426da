#pragma once
#include <sys/ioctl.h>

/// Columns of a terminal (TIOCGWINSZ, ioctl_tty(2): variadic), 0 if it doesn't say or is none.
static inline int linux_terminal_columns(int descriptor)
{
	struct winsize size;
	return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
