// What a terminal says of itself.
#pragma once

// Columns of a terminal (TIOCGWINSZ, ioctl_tty(2): variadic), 0 if it doesn't say or is none.
int linux_terminal_columns(int fd);
