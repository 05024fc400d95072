// SPDX-License-Identifier: GPL-2.0
/*
 * An INA3221 at address 0x40 of an I2C bus of its own, that converts: a known waveform of voltage and current goes in,
 * and the kernel's own ina3221 driver reads what the chip's registers would hold at that moment.
 *
 * What is modelled, from the chip's data sheet (SBOS576):
 * - the sequence: shunt voltage, then bus voltage, of each enabled channel in turn, round after round; the times of
 *   configuration bits 8..3; a write to the configuration register halts the conversion and begins a new round;
 * - a conversion gives the mean of its input over its time; a register changes when its own conversion ends;
 * - averaging is no block mean but a filter: each result moves the register by 1/N of its distance;
 * - steps of 40 uV (shunt) and 8 mV (bus), 13 bits;
 * - the conversion-ready flag: set at the end of a round, cleared by reading mask/enable and by writing the
 *   configuration; single-shot and power-down modes; software reset; summation; warning and critical flags (not latched).
 * Not modelled: offset, gain error and noise; power-valid and timing-control outputs; in single-shot mode one round is
 * made whatever the averaging says.
 *
 * Results are worked out when they are read: which rounds have ended by then follows from CLOCK_MONOTONIC.
 *
 * The waveform of channel N is the file waveformN in debugfs/jp_ina3221. Open it to begin a new table, write knots,
 * close it to put the table in force. Between two knots voltage and current run straight; two knots of one time are a
 * jump; beyond the ends they stand still.
 *
 * With a device tree the chip is what the tree says (a node "joulepath,lab-i2c" with an ina3221 in it, so that labels
 * and shunts come from where a board has them); without one the module makes the bus and the chip itself.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/i2c.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/overflow.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define JP_ADDRESS	0x40
#define JP_CHANNELS	3
#define JP_SIGNALS	(2 * JP_CHANNELS)	/* 2 * channel: shunt; 2 * channel + 1: bus */
#define JP_MOST_KNOTS	(4u << 20)
#define JP_FORGOTTEN	24	/* after this many times N rounds a filter of N has forgotten where it came from */

#define JP_CONFIG	0x00
#define JP_CRIT1	0x07	/* CRIT1, WARN1, CRIT2, WARN2, CRIT3, WARN3 */
#define JP_SUM		0x0d
#define JP_CRIT_SUM	0x0e
#define JP_MASK		0x0f
#define JP_VALID_HIGH	0x10
#define JP_VALID_LOW	0x11
#define JP_MAKER	0xfe
#define JP_DIE		0xff

#define JP_RESET	BIT(15)
#define JP_CONTINUOUS	BIT(2)
#define JP_MASK_KEPT	GENMASK(14, 10)	/* SCC1..3, WEN, CEN */
#define JP_TIMING_OK	BIT(1)

static int bus_khz = 400;
module_param(bus_khz, int, 0644);
MODULE_PARM_DESC(bus_khz, "clock of the I2C bus: a transfer lasts its bits (0: no time)");
static int clock_ppm;
module_param(clock_ppm, int, 0644);
MODULE_PARM_DESC(clock_ppm, "how far the chip's own clock is off, taken over when a sequence begins");
static int shunt_uohm[JP_CHANNELS] = { 5000, 5000, 5000 };
module_param_array(shunt_uohm, int, NULL, 0444);
MODULE_PARM_DESC(shunt_uohm, "what the shunts really are, in micro-ohms");
static bool unplugged;
module_param(unplugged, bool, 0644);
MODULE_PARM_DESC(unplugged, "the chip does not answer");

/* As user space writes it, in the machine's byte order. */
struct jp_knot {
	u64 time_ns;
	s32 microvolt;
	s32 microampere;
};

struct jp_waveform {
	struct jp_knot *knots;
	size_t count, room;
};

struct jp_chip {
	struct mutex lock;	/* all below, and the waveforms */
	struct i2c_adapter adapter;
	struct jp_waveform waveforms[JP_CHANNELS];
	u8 pointer;
	u16 config, mask, limits[JP_MASK - JP_CRIT1], valid[2];
	u64 begun_ns;		/* when the sequence in progress began */
	u64 shunt_ns, bus_ns;	/* how long one conversion of it takes */
	u64 done[JP_SIGNALS];	/* conversions of the sequence that went into the registers */
	s64 latest_nv[JP_SIGNALS];
	s64 filtered[JP_SIGNALS];	/* nV * 256 */
	u64 rounds_seen;	/* rounds at the last look at the ready flag */
};

static struct jp_chip *the_chip;	/* there is one */
static struct dentry *jp_folder;

static const u32 conversion_us[] = { 140, 204, 332, 588, 1100, 2116, 4156, 8244 };
static const u32 averages[] = { 1, 4, 16, 64, 128, 256, 512, 1024 };

/* ---- the waveform ---------------------------------------------------------------------------------------------- */

static s32 jp_level(const struct jp_knot *knot, bool bus)
{
	return bus ? knot->microvolt : knot->microampere;
}

/* Between two knots, at a time that lies between theirs. */
static s64 jp_between(const struct jp_knot *before, const struct jp_knot *after, u64 at_ns, bool bus)
{
	s64 rise = (s64)jp_level(after, bus) - jp_level(before, bus);

	if (after->time_ns == before->time_ns)
		return jp_level(after, bus);
	return jp_level(before, bus) +
	       div64_s64(rise * (s64)(at_ns - before->time_ns), (s64)(after->time_ns - before->time_ns));
}

/* How many knots lie at or before a time. */
static size_t jp_knots_until(const struct jp_waveform *waveform, u64 at_ns)
{
	size_t low = 0, high = waveform->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (waveform->knots[middle].time_ns <= at_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Mean voltage (uV) or current (uA) from one time to a later one. */
static s64 jp_mean(const struct jp_waveform *waveform, u64 from_ns, u64 to_ns, bool bus)
{
	const struct jp_knot *knots = waveform->knots;
	size_t next = jp_knots_until(waveform, from_ns);
	s64 twice_area = 0, here, there;
	u64 at_ns = from_ns;

	if (!waveform->count)
		return 0;
	while (at_ns < to_ns) {
		u64 until_ns = to_ns;

		if (next < waveform->count)
			until_ns = min(to_ns, knots[next].time_ns);
		if (next == 0 || next == waveform->count) {
			here = there = jp_level(&knots[next ? next - 1 : 0], bus);
		} else {
			here = jp_between(&knots[next - 1], &knots[next], at_ns, bus);
			there = until_ns == knots[next].time_ns ? jp_level(&knots[next], bus) :
				jp_between(&knots[next - 1], &knots[next], until_ns, bus);
		}
		twice_area += (here + there) * (s64)(until_ns - at_ns);
		at_ns = until_ns;
		while (next < waveform->count && knots[next].time_ns <= at_ns)
			next++;
	}
	return div64_s64(twice_area, 2 * (s64)(to_ns - from_ns));
}

/* ---- the sequence of conversions -------------------------------------------------------------------------------- */

static u32 jp_average(const struct jp_chip *chip)
{
	return averages[(chip->config >> 9) & 7];
}

static bool jp_converts(const struct jp_chip *chip, int signal)
{
	bool bus = signal & 1;

	return (chip->config & BIT(14 - signal / 2)) && (chip->config & (bus ? BIT(1) : BIT(0)));
}

/* Length of a round, and, for a signal that is converted, when in it its conversion ends. */
static u64 jp_round_ns(const struct jp_chip *chip, int signal, u64 *end_ns)
{
	u64 length_ns = 0;
	int other;

	for (other = 0; other < JP_SIGNALS; other++) {
		if (jp_converts(chip, other))
			length_ns += other & 1 ? chip->bus_ns : chip->shunt_ns;
		if (other == signal && end_ns)
			*end_ns = length_ns;
	}
	return length_ns;
}

/* How often something that ends `end_ns` into each round has ended by now. */
static u64 jp_ended(const struct jp_chip *chip, u64 now_ns, u64 round_ns, u64 end_ns)
{
	u64 times;

	if (!round_ns || now_ns < chip->begun_ns + end_ns)
		return 0;
	times = div64_u64(now_ns - chip->begun_ns - end_ns, round_ns) + 1;
	return chip->config & JP_CONTINUOUS ? times : min_t(u64, times, 1);
}

static u64 jp_rounds(const struct jp_chip *chip, u64 now_ns)
{
	u64 round_ns = jp_round_ns(chip, 0, NULL);

	return jp_ended(chip, now_ns, round_ns, round_ns);
}

/* Input of the converter in nanovolts: over the shunt, or of the bus. */
static s64 jp_input_nv(const struct jp_chip *chip, int signal, u64 from_ns, u64 to_ns)
{
	s64 mean = jp_mean(&chip->waveforms[signal / 2], from_ns, to_ns, signal & 1);

	return signal & 1 ? mean * 1000 : div_s64(mean * shunt_uohm[signal / 2], 1000);
}

/* Put all results that have come in by now into a signal's register. */
static void jp_catch_up(struct jp_chip *chip, int signal, u64 now_ns)
{
	u64 end_ns = 0, round_ns = jp_round_ns(chip, signal, &end_ns), length_ns, times, known;
	u32 average = jp_average(chip);

	if (!jp_converts(chip, signal))
		return;
	length_ns = signal & 1 ? chip->bus_ns : chip->shunt_ns;
	times = jp_ended(chip, now_ns, round_ns, end_ns);
	known = max(chip->done[signal], times - min_t(u64, times, JP_FORGOTTEN * average));
	for (; known < times; known++) {
		u64 to_ns = chip->begun_ns + known * round_ns + end_ns;

		chip->latest_nv[signal] = jp_input_nv(chip, signal, to_ns - length_ns, to_ns);
		chip->filtered[signal] += div_s64(chip->latest_nv[signal] * 256 - chip->filtered[signal], average);
	}
	chip->done[signal] = known;
}

static void jp_catch_up_all(struct jp_chip *chip, u64 now_ns)
{
	int signal;

	for (signal = 0; signal < JP_SIGNALS; signal++)
		jp_catch_up(chip, signal, now_ns);
}

static void jp_begin(struct jp_chip *chip, u16 config, u64 now_ns)
{
	u64 per_ms = 1000000 + clock_ppm;

	chip->config = config & ~JP_RESET;
	chip->begun_ns = now_ns;
	chip->shunt_ns = div_u64(conversion_us[(config >> 3) & 7] * per_ms, 1000);
	chip->bus_ns = div_u64(conversion_us[(config >> 6) & 7] * per_ms, 1000);
	memset(chip->done, 0, sizeof(chip->done));
	chip->rounds_seen = 0;
}

static void jp_reset(struct jp_chip *chip, u64 now_ns)
{
	int limit;

	memset(chip->latest_nv, 0, sizeof(chip->latest_nv));
	memset(chip->filtered, 0, sizeof(chip->filtered));
	for (limit = 0; limit < ARRAY_SIZE(chip->limits) - 1; limit++)
		chip->limits[limit] = 0x7ff8;
	chip->limits[JP_CRIT_SUM - JP_CRIT1] = 0x7ffe;
	chip->valid[0] = 0x2710;
	chip->valid[1] = 0x2328;
	chip->mask = 0;
	jp_begin(chip, 0x7127, now_ns);
}

/* ---- the registers ---------------------------------------------------------------------------------------------- */

/* In steps of 40 uV or 8 mV, to the nearest, within 13 bits. */
static s64 jp_steps(s64 nanovolts, bool bus)
{
	s64 step = bus ? 8000000 : 40000;
	s64 halfway = nanovolts < 0 ? -step / 2 : step / 2;

	return clamp_t(s64, div64_s64(nanovolts + halfway, step), -4096, 4095);
}

static s64 jp_sum_steps(const struct jp_chip *chip)
{
	s64 sum = 0;
	int channel;

	for (channel = 0; channel < JP_CHANNELS; channel++)
		if (chip->mask & BIT(14 - channel))
			sum += jp_steps(chip->filtered[2 * channel] / 256, false);
	return sum;
}

static u16 jp_flags(const struct jp_chip *chip)
{
	u16 flags = 0;
	int channel;

	for (channel = 0; channel < JP_CHANNELS; channel++) {
		const u16 *limits = &chip->limits[2 * channel];
		s64 latest = jp_steps(chip->latest_nv[2 * channel], false);
		s64 filtered = jp_steps(chip->filtered[2 * channel] / 256, false);

		if (latest > (s16)limits[0] >> 3)
			flags |= BIT(9 - channel);
		if (filtered > (s16)limits[1] >> 3)
			flags |= BIT(5 - channel);
	}
	if (jp_sum_steps(chip) > (s16)chip->limits[JP_CRIT_SUM - JP_CRIT1] >> 1)
		flags |= BIT(6);
	return flags;
}

static u16 jp_read_mask(struct jp_chip *chip, u64 now_ns)
{
	u64 rounds = jp_rounds(chip, now_ns);
	u16 value = chip->mask | JP_TIMING_OK | jp_flags(chip);

	if (rounds > chip->rounds_seen)
		value |= BIT(0);
	chip->rounds_seen = rounds;
	return value;
}

static u16 jp_read_register(struct jp_chip *chip, u8 number, u64 now_ns)
{
	jp_catch_up_all(chip, now_ns);
	switch (number) {
	case JP_CONFIG:
		return chip->config;
	case 1 ... JP_SIGNALS: /* shunt 1, bus 1, shunt 2, ... */
		return (u16)(jp_steps(chip->filtered[number - 1] / 256, !(number & 1)) * 8);
	case JP_SUM:
		return (u16)(jp_sum_steps(chip) * 2);
	case JP_CRIT1 ... JP_SUM - 1:
	case JP_CRIT_SUM:
		return chip->limits[number - JP_CRIT1];
	case JP_MASK:
		return jp_read_mask(chip, now_ns);
	case JP_VALID_HIGH:
	case JP_VALID_LOW:
		return chip->valid[number - JP_VALID_HIGH];
	case JP_MAKER:
		return 0x5449;
	case JP_DIE:
		return 0x3220;
	default:
		return 0;
	}
}

static void jp_write_register(struct jp_chip *chip, u8 number, u16 value, u64 now_ns)
{
	jp_catch_up_all(chip, now_ns);
	switch (number) {
	case JP_CONFIG:
		if (value & JP_RESET)
			jp_reset(chip, now_ns);
		else
			jp_begin(chip, value, now_ns);
		break;
	case JP_CRIT1 ... JP_SUM - 1:
		chip->limits[number - JP_CRIT1] = value & 0xfff8;
		break;
	case JP_CRIT_SUM:
		chip->limits[number - JP_CRIT1] = value & 0xfffe;
		break;
	case JP_MASK:
		chip->mask = value & JP_MASK_KEPT;
		break;
	case JP_VALID_HIGH:
	case JP_VALID_LOW:
		chip->valid[number - JP_VALID_HIGH] = value & 0xfff8;
		break;
	}
}

/* ---- the bus ---------------------------------------------------------------------------------------------------- */

/* Address and bytes with their acknowledge bits, and a start before each message. */
static u64 jp_message_ns(const struct i2c_msg *message)
{
	int khz = READ_ONCE(bus_khz);

	return khz > 0 ? div_u64((9ull * (message->len + 1) + 1) * 1000000, khz) : 0;
}

static void jp_message(struct jp_chip *chip, struct i2c_msg *message, u64 now_ns)
{
	u16 value;

	if (message->flags & I2C_M_RD) {
		/* The register's value is taken when the chip is addressed; it goes out high byte first. */
		value = jp_read_register(chip, chip->pointer, now_ns);
		if (message->len > 0)
			message->buf[0] = value >> 8;
		if (message->len > 1)
			message->buf[1] = value & 0xff;
		return;
	}
	if (message->len > 0)
		chip->pointer = message->buf[0];
	if (message->len > 2) {
		value = message->buf[1] << 8 | message->buf[2];
		jp_write_register(chip, chip->pointer, value, now_ns + jp_message_ns(message));
	}
}

static int jp_transfer(struct i2c_adapter *adapter, struct i2c_msg *messages, int count)
{
	struct jp_chip *chip = i2c_get_adapdata(adapter);
	u64 at_ns = ktime_get_ns(), busy_ns = 0;
	int number;

	for (number = 0; number < count; number++) {
		if (READ_ONCE(unplugged) || messages[number].addr != JP_ADDRESS)
			return -ENXIO;
		busy_ns += jp_message_ns(&messages[number]);
	}
	if (busy_ns)
		usleep_range(div_u64(busy_ns, 1000), div_u64(busy_ns, 1000) + 20);
	mutex_lock(&chip->lock);
	for (number = 0; number < count; number++) {
		jp_message(chip, &messages[number], at_ns);
		at_ns += jp_message_ns(&messages[number]);
	}
	mutex_unlock(&chip->lock);
	return count;
}

static u32 jp_functionality(struct i2c_adapter *adapter)
{
	return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm jp_algorithm = {
	.master_xfer = jp_transfer,
	.functionality = jp_functionality,
};

/* ---- the waveform's files --------------------------------------------------------------------------------------- */

static int jp_waveform_open(struct inode *inode, struct file *file)
{
	struct jp_waveform *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);

	if (!fresh)
		return -ENOMEM;
	file->private_data = fresh;
	return nonseekable_open(inode, file);
}

static int jp_make_room(struct jp_waveform *waveform, size_t more)
{
	size_t room = max_t(size_t, waveform->count + more, 2 * waveform->room);
	struct jp_knot *knots;

	if (waveform->count + more <= waveform->room)
		return 0;
	if (waveform->count + more > JP_MOST_KNOTS)
		return -EFBIG;
	knots = kvmalloc_array(room, sizeof(*knots), GFP_KERNEL);
	if (!knots)
		return -ENOMEM;
	if (waveform->count)
		memcpy(knots, waveform->knots, waveform->count * sizeof(*knots));
	kvfree(waveform->knots);
	waveform->knots = knots;
	waveform->room = room;
	return 0;
}

/* Times must not fall, and a straight line must be workable in 64 bits. */
static bool jp_may_follow(const struct jp_knot *before, const struct jp_knot *after)
{
	s64 product, width_ns = (s64)(after->time_ns - before->time_ns);

	if (after->time_ns < before->time_ns)
		return false;
	return !check_mul_overflow((s64)after->microvolt - before->microvolt, width_ns, &product) &&
	       !check_mul_overflow((s64)after->microampere - before->microampere, width_ns, &product);
}

static ssize_t jp_waveform_write(struct file *file, const char __user *text, size_t size, loff_t *at)
{
	struct jp_waveform *fresh = file->private_data;
	size_t more = size / sizeof(struct jp_knot), number;
	int failed;

	if (!more || size % sizeof(struct jp_knot))
		return -EINVAL;
	failed = jp_make_room(fresh, more);
	if (failed)
		return failed;
	if (copy_from_user(fresh->knots + fresh->count, text, size))
		return -EFAULT;
	for (number = max_t(size_t, fresh->count, 1); number < fresh->count + more; number++)
		if (!jp_may_follow(&fresh->knots[number - 1], &fresh->knots[number]))
			return -EINVAL;
	fresh->count += more;
	return size;
}

static int jp_waveform_release(struct inode *inode, struct file *file)
{
	struct jp_waveform *present = inode->i_private, *fresh = file->private_data;

	mutex_lock(&the_chip->lock);
	jp_catch_up_all(the_chip, ktime_get_ns()); /* what was converted until now was the old waveform */
	swap(*present, *fresh);
	mutex_unlock(&the_chip->lock);
	kvfree(fresh->knots);
	kfree(fresh);
	return 0;
}

static const struct file_operations jp_waveform_operations = {
	.owner = THIS_MODULE,
	.open = jp_waveform_open,
	.write = jp_waveform_write,
	.release = jp_waveform_release,
	.llseek = no_llseek,
};

static void jp_make_files(struct jp_chip *chip)
{
	char name[] = "waveform0";
	int channel;

	jp_folder = debugfs_create_dir("jp_ina3221", NULL);
	for (channel = 0; channel < JP_CHANNELS; channel++) {
		name[sizeof(name) - 2] = '1' + channel;
		debugfs_create_file(name, 0200, jp_folder, &chip->waveforms[channel], &jp_waveform_operations);
	}
}

/* ---- coming and going ------------------------------------------------------------------------------------------- */

static int jp_probe(struct platform_device *device)
{
	struct i2c_board_info monitor = { I2C_BOARD_INFO("ina3221", JP_ADDRESS) };
	struct jp_chip *chip;
	int failed;

	if (the_chip)
		return -EBUSY;
	chip = devm_kzalloc(&device->dev, sizeof(*chip), GFP_KERNEL);
	if (!chip)
		return -ENOMEM;
	mutex_init(&chip->lock);
	jp_reset(chip, ktime_get_ns());
	chip->adapter.owner = THIS_MODULE;
	chip->adapter.algo = &jp_algorithm;
	chip->adapter.dev.parent = &device->dev;
	chip->adapter.dev.of_node = device->dev.of_node;
	strscpy(chip->adapter.name, "Joulepath lab", sizeof(chip->adapter.name));
	i2c_set_adapdata(&chip->adapter, chip);
	platform_set_drvdata(device, chip);
	the_chip = chip;
	failed = i2c_add_adapter(&chip->adapter); /* a device tree's chips are found here */
	if (failed) {
		the_chip = NULL;
		return failed;
	}
	jp_make_files(chip);
	if (!device->dev.of_node && IS_ERR(i2c_new_client_device(&chip->adapter, &monitor)))
		dev_warn(&device->dev, "no power monitor could be made\n");
	return 0;
}

static int jp_remove(struct platform_device *device)
{
	struct jp_chip *chip = platform_get_drvdata(device);
	int channel;

	debugfs_remove_recursive(jp_folder);
	i2c_del_adapter(&chip->adapter);
	the_chip = NULL;
	for (channel = 0; channel < JP_CHANNELS; channel++)
		kvfree(chip->waveforms[channel].knots);
	return 0;
}

static const struct of_device_id jp_matches[] = {
	{ .compatible = "joulepath,lab-i2c" },
	{ }
};
MODULE_DEVICE_TABLE(of, jp_matches);

static struct platform_driver jp_driver = {
	.probe = jp_probe,
	.remove = jp_remove,
	.driver = { .name = "jp_ina3221", .of_match_table = of_match_ptr(jp_matches) },
};
static struct platform_device *jp_own_device;

static int __init jp_init(void)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, "joulepath,lab-i2c");
	int failed = platform_driver_register(&jp_driver);

	if (failed || node) {
		of_node_put(node);
		return failed;
	}
	jp_own_device = platform_device_register_simple("jp_ina3221", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(jp_own_device)) {
		platform_driver_unregister(&jp_driver);
		return PTR_ERR(jp_own_device);
	}
	return 0;
}

static void __exit jp_exit(void)
{
	platform_device_unregister(jp_own_device); /* none: nothing */
	platform_driver_unregister(&jp_driver);
}

module_init(jp_init);
module_exit(jp_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An INA3221 that converts a known waveform, for tests of energy metering");
