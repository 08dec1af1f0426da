#pragma once
#include <errno.h>
#include <stdint.h>
#include <unistd.h>
