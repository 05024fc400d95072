// SPDX-License-Identifier: GPL-2.0
/*
 * A thermal zone whose temperature is set at run time. Debian's kernels are built without CONFIG_THERMAL_EMULATION, so
 * a zone's own emul_temp file is not there to do it.
 *
 *   modprobe jp_thermal ztype=cpu-thermal
 *   echo 81234 > /sys/module/jp_thermal/parameters/temp_mc
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/thermal.h>

static int temp_mc = 42000;
module_param(temp_mc, int, 0644);
MODULE_PARM_DESC(temp_mc, "the zone's temperature, thousandths of a degree Celsius");

static char *ztype = "cpu-thermal";
module_param(ztype, charp, 0444);
MODULE_PARM_DESC(ztype, "the zone's type, as /sys shows it");

static struct thermal_zone_device *zone;

static int jp_thermal_get(struct thermal_zone_device *unused, int *temp)
{
	*temp = READ_ONCE(temp_mc);
	return 0;
}

static struct thermal_zone_device_ops jp_thermal_ops = {
	.get_temp = jp_thermal_get,
};

static int __init jp_thermal_init(void)
{
	int failed;

	zone = thermal_zone_device_register(ztype, 0, 0, NULL, &jp_thermal_ops, NULL, 0, 0);
	if (IS_ERR(zone))
		return PTR_ERR(zone);
	failed = thermal_zone_device_enable(zone);
	if (failed)
		thermal_zone_device_unregister(zone);
	return failed;
}

static void __exit jp_thermal_exit(void)
{
	thermal_zone_device_unregister(zone);
}

module_init(jp_thermal_init);
module_exit(jp_thermal_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A thermal zone with a settable temperature, for tests");
