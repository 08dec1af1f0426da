/* The cgroup v2 folder of this process: /proc/self/cgroup set against /proc/self/mountinfo. */
#include "martlet-criu.h"

#include <stdio.h>
#include <string.h>

static bool own_group(char *group, size_t size)
{
	char line[4200];
	bool found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && !found && fgets(line, sizeof line, file)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = 0;
		found = strlen(line + 3) < size;
		if (found)
			strcpy(group, line + 3);
	}
	if (file)
		fclose(file);
	return found;
}

/* The first mount of cgroup2 whose root holds the group. Paths with escapes (spaces) are not matched. */
bool martlet_own_cgroup(char *path, size_t size)
{
	char group[4096], line[8192], root[4096], point[4096];
	bool found = false;
	FILE *file;

	if (!own_group(group, sizeof group) || !(file = fopen("/proc/self/mountinfo", "re")))
		return false;
	while (!found && fgets(line, sizeof line, file)) {
		if (!strstr(line, " - cgroup2 ") || sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2)
			continue;
		size_t prefix = strcmp(root, "/") == 0 ? 0 : strlen(root);
		if (strncmp(group, root, prefix) != 0 || (prefix && group[prefix] != '/' && group[prefix] != 0))
			continue;
		int length = snprintf(path, size, "%s%s", point, group + prefix);
		found = length > 0 && (size_t)length < size;
	}
	fclose(file);
	return found;
}
