/*
 * What the device trains on: the files train.pfr and test.pfr beside its blobs, in the format of
 * propeller's record files (PFR1). Whatever samples the board's sensors writes them.
 */
#ifndef PROPLET_ZEPHYR_RECORDS_H
#define PROPLET_ZEPHYR_RECORDS_H

#include "lesson.h"

#define RECORDS_MOUNT "data" /* as entries name it */

extern const struct proplet_records proplet_zephyr_records;

#endif
