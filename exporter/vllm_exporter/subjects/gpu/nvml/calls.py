"""The readings of every run: calls, the structs they fill, and the families these become. Data from nvml.h."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from math import inf

from vllm_exporter.metrics.family import Family
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.nvml.fields import ALL_LINKS

HOTTEST = 250  # °C; silicon does not live to see it
LARGEST = {"I": (1 << 32) - 2, "Q": (1 << 64) - 2, "i": inf}  # NVML_VALUE_NOT_AVAILABLE is -1, of any type


@dataclass(frozen=True, eq=False)
class Output:
    """One number and its family. It is divided and multiplied into the family's unit."""

    family: Family
    label: str = ""  # after gpu_id
    divide: int = 1
    multiply: int = 1
    wraps: bool = False  # a counter that may start again from 0
    mask: bool = False  # bits of THROTTLE_REASONS, a series for each
    most: float = inf  # in the driver's units; a larger value is none
    least: float = -inf


@dataclass(frozen=True)
class Call:
    """A function (device, arguments …, pointer) that fills `size` bytes, of which `format` (struct module) is read."""

    function: str
    format: str
    outputs: tuple[Output, ...]
    arguments: tuple[int, ...] = ()
    preset: bytes = b""  # content that the memory must have before the first call
    whole: bool = False  # the first value is the whole of the others; 0: there is nothing to report

    @property
    def most(self) -> tuple[float, ...]:
        """Returns the largest value of each output that can be: the largest of an unsigned type stands for none."""
        letters = re.sub(r"\d+x", "", self.format)
        return tuple(min(one.most, LARGEST[letter]) for one, letter in zip(self.outputs, letters, strict=True))

    @property
    def size(self) -> int:
        return struct.calcsize(f"={self.format}")


@dataclass(frozen=True)
class Field:
    """A field value of the batch."""

    id: int
    output: Output
    scope: int = 0


# Of two calls for the same family and label the first that answers is taken.
CALLS = (
    Call(
        "nvmlDeviceGetUtilizationRates",
        "II",
        (Output(names.GPU_UTILIZATION_PERCENT, most=100), Output(names.GPU_MEMORY_BUSY_RATIO, divide=100, most=100)),
    ),
    Call(  # version, total, reserved, free, used
        "nvmlDeviceGetMemoryInfo_v2",
        "8xQQ8xQ",
        (
            Output(names.GPU_MEMORY_TOTAL_BYTES),
            Output(names.GPU_MEMORY_RESERVED_BYTES),
            Output(names.GPU_MEMORY_USED_BYTES),
        ),
        preset=struct.pack("=I", 0x02000028),
        whole=True,
    ),
    Call(  # total, free, used with what is reserved: drivers before 510
        "nvmlDeviceGetMemoryInfo",
        "Q8xQ",
        (Output(names.GPU_MEMORY_TOTAL_BYTES), Output(names.GPU_MEMORY_USED_BYTES)),
        whole=True,
    ),
    Call(  # version, sensor, degrees
        "nvmlDeviceGetTemperatureV",
        "8xi4x",
        (Output(names.GPU_TEMPERATURE_CELSIUS, "gpu", most=HOTTEST, least=0),),
        preset=struct.pack("=II", 0x0100000C, 0),
    ),
    Call("nvmlDeviceGetTemperature", "I4x", (Output(names.GPU_TEMPERATURE_CELSIUS, "gpu", most=HOTTEST),), (0,)),
    Call("nvmlDeviceGetClockInfo", "I4x", (Output(names.GPU_CLOCK_HERTZ, "sm", multiply=1_000_000),), (1,)),
    Call("nvmlDeviceGetClockInfo", "I4x", (Output(names.GPU_CLOCK_HERTZ, "memory", multiply=1_000_000),), (2,)),
    Call("nvmlDeviceGetCurrentClocksEventReasons", "Q", (Output(names.GPU_THROTTLE_ACTIVE, mask=True),)),
    Call("nvmlDeviceGetCurrentClocksThrottleReasons", "Q", (Output(names.GPU_THROTTLE_ACTIVE, mask=True),)),
    Call("nvmlDeviceGetPerformanceState", "I4x", (Output(names.GPU_PERFORMANCE_STATE, most=15),)),  # 32: not known
)
# For GPUs that do not answer field 185; the time over which it averages depends on the GPU.
POWER_USAGE = Call("nvmlDeviceGetPowerUsage", "I4x", (Output(names.GPU_POWER_WATTS, divide=1000),))

OF_INSTANCES = frozenset({"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"})  # a split GPU reports it by these
OF_GPU_ONLY = frozenset(call.function for call in (*CALLS, POWER_USAGE)) - OF_INSTANCES

FIELDS = (
    Field(185, Output(names.GPU_POWER_WATTS, divide=1000, most=LARGEST["I"])),
    Field(186, Output(names.GPU_POWER_INSTANT_WATTS, divide=1000, most=LARGEST["I"])),
    Field(82, Output(names.GPU_TEMPERATURE_CELSIUS, "memory", most=HOTTEST)),
    Field(83, Output(names.GPU_ENERGY_JOULES_TOTAL, divide=1000)),
    Field(197, Output(names.GPU_PCIE_TRANSMIT_BYTES_TOTAL, wraps=True)),
    Field(198, Output(names.GPU_PCIE_RECEIVE_BYTES_TOTAL, wraps=True)),
    # Nanoseconds. 74 to 79 are the policies of nvmlDeviceGetViolationStatus, which goes away.
    Field(74, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "power", divide=10**9)),
    Field(75, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "thermal", divide=10**9)),
    Field(76, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "sync_boost", divide=10**9)),
    Field(77, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "board_limit", divide=10**9)),
    Field(78, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "low_utilization", divide=10**9)),
    Field(79, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "reliability", divide=10**9)),
    Field(269, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "sw_thermal", divide=10**9)),
    Field(270, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "hw_thermal", divide=10**9)),
    Field(271, Output(names.GPU_THROTTLE_SECONDS_TOTAL, "hw_power_brake", divide=10**9)),
    # KiB of data, without protocol; of NVLink 5 bytes.
    Field(138, Output(names.GPU_NVLINK_TRANSMIT_BYTES_TOTAL, multiply=1024), ALL_LINKS),
    Field(139, Output(names.GPU_NVLINK_RECEIVE_BYTES_TOTAL, multiply=1024), ALL_LINKS),
    Field(202, Output(names.GPU_NVLINK_TRANSMIT_BYTES_TOTAL), ALL_LINKS),
    Field(204, Output(names.GPU_NVLINK_RECEIVE_BYTES_TOTAL), ALL_LINKS),
)

# nvmlClocksEventReasons*: the bit of each. Bit 0x100 (a setting of displays) is left out.
THROTTLE_REASONS = {
    "idle": 0x1,
    "application_clocks": 0x2,
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
}

# GPM metrics by id: percentages of the time between two samples; from 248 on counts since the boot, in drivers that
# have them.
GPM = {
    2: Output(names.GPU_SM_ACTIVE_RATIO, divide=100, most=100),
    3: Output(names.GPU_SM_OCCUPANCY_RATIO, divide=100, most=100),
    5: Output(names.GPU_TENSOR_ACTIVE_RATIO, divide=100, most=100),
    10: Output(names.GPU_DRAM_BANDWIDTH_RATIO, divide=100, most=100),
    248: Output(names.GPU_SM_CYCLES_TOTAL),
    249: Output(names.GPU_SM_ACTIVE_CYCLES_TOTAL),
    250: Output(names.GPU_TENSOR_ACTIVE_CYCLES_TOTAL),
}
