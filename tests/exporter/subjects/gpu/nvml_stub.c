/* A stand-in for libnvidia-ml.so.1: answers what the exporter asks, with values that tests choose.
 *
 * Struct layouts and codes are those of nvml.h (CUDA 13). What is not set has a default that a test can compute in its
 * head: see the calls of value(). Knobs, by stub_set(name, gpu, value) or in the environment when the library is
 * initialised: NVML_STUB="gpus=8,power@1=350000,fault:nvmlDeviceGetUtilizationRates@2=15,slow:nvmlDeviceGetFieldValues=5000"
 * (slow in microseconds; without @gpu it holds for all). Field f of GPU g is the knob "field.f"; the code it returns
 * "field.f.code", its value type "field.f.type". GPM metric m is "gpm.m". "nvlink" says where the links end: 2 (default)
 * at switches, 1 at the other GPU of a pair (0 and 1, 2 and 3, ...), 0 there are none; "silent_link" is one that answers
 * not_supported. "mig_remade" is 1 once the instances were destroyed and made again: their old handles are dead.
 * "no_shares" is the code for no samples of processes. -DWITHOUT_NEW leaves out what older drivers do not export.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GPUS 16
#define SLICES 7
#define KNOBS 512
#define FAULTS 64
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10, LOST = 15 };

typedef struct { int index; int slice; } Device; /* slice -1: a whole GPU */
typedef struct { char name[48]; int gpu; double value; } Knob;
typedef struct { char function[64]; int gpu; int code; unsigned microseconds; } Fault;

static Device whole[GPUS], slices[GPUS][2 * SLICES];
static Knob knobs[KNOBS];
static Fault faults[FAULTS];
static int n_knobs, n_faults, initialised;
static int numbered; /* knobs of fields or metrics are set: their names are costly to make */
static volatile int hanging;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t raised = PTHREAD_COND_INITIALIZER;
#define EVENTS 64
static struct { int gpu; uint64_t type, data; } events[EVENTS]; /* the newest, in turn; each event set hears of all */
static unsigned happened;

/* ---- control ---- */

void stub_set(const char *name, int gpu, double value) {
    for (int i = 0; i < n_knobs; i++)
        if (knobs[i].gpu == gpu && !strcmp(knobs[i].name, name)) { knobs[i].value = value; return; }
    if (n_knobs == KNOBS) abort();
    snprintf(knobs[n_knobs].name, sizeof knobs[0].name, "%s", name);
    numbered |= !strncmp(name, "field.", 6) || !strncmp(name, "gpm.", 4);
    knobs[n_knobs].gpu = gpu;
    knobs[n_knobs++].value = value;
}

void stub_fault(const char *function, int gpu, int code, unsigned microseconds) {
    if (n_faults == FAULTS) abort();
    Fault *f = &faults[n_faults];
    snprintf(f->function, sizeof f->function, "%s", function);
    f->gpu = gpu; f->code = code; f->microseconds = microseconds;
    n_faults++;
}

void stub_clear_faults(void) { n_faults = 0; hanging = 0; }
void stub_hang(int on) { hanging = on; }
int stub_initialised(void) { return initialised; }

void stub_reset(void) {
    n_knobs = n_faults = hanging = numbered = 0;
}

void stub_reset_library(void) { initialised = 0; }

void stub_event(int gpu, uint64_t type, uint64_t data) {
    pthread_mutex_lock(&lock);
    events[happened % EVENTS].gpu = gpu; events[happened % EVENTS].type = type; events[happened % EVENTS].data = data;
    happened++;
    pthread_cond_broadcast(&raised);
    pthread_mutex_unlock(&lock);
}

static void read_environment(void) {
    const char *text = getenv("NVML_STUB");
    if (!text) return;
    char *copy = strdup(text), *save = NULL;
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *is = strchr(item, '=');
        if (!is) continue;
        *is = 0;
        char *at = strchr(item, '@');
        int gpu = at ? atoi(at + 1) : -1;
        if (at) *at = 0;
        if (!strncmp(item, "fault:", 6)) stub_fault(item + 6, gpu, atoi(is + 1), 0);
        else if (!strncmp(item, "slow:", 5)) stub_fault(item + 5, gpu, 0, (unsigned)atoi(is + 1));
        else stub_set(item, gpu, atof(is + 1));
    }
    free(copy);
}

static double value(const char *name, int gpu, double otherwise) {
    double any = otherwise;
    for (int i = 0; i < n_knobs; i++)
        if (!strcmp(knobs[i].name, name)) {
            if (knobs[i].gpu == gpu) return knobs[i].value;
            if (knobs[i].gpu == -1) any = knobs[i].value;
        }
    return any;
}

static int enter(const char *function, int gpu) {
    while (hanging) usleep(1000);
    for (int i = 0; i < n_faults; i++)
        if ((faults[i].gpu == -1 || faults[i].gpu == gpu) &&
            (!strcmp(faults[i].function, function) || !strcmp(faults[i].function, "*"))) {
            if (faults[i].microseconds) usleep(faults[i].microseconds);
            if (faults[i].code) return faults[i].code;
        }
    return OK;
}

#define ENTER(gpu) do { if (!initialised) return UNINITIALIZED; int e_ = enter(__func__, gpu); if (e_) return e_; } while (0)
#define WHOLE(d) do { ENTER((d)->index); if ((d)->slice >= 0) return NOT_SUPPORTED; } while (0)
#define V(name, otherwise) value(name, d->index, otherwise)

/* ---- system and devices ---- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_environment();
    int e = enter("nvmlInitWithFlags", -1);
    if (e) return e;
    for (int g = 0; g < GPUS; g++) {
        whole[g].index = g; whole[g].slice = -1;
        for (int s = 0; s < 2 * SLICES; s++) { slices[g][s].index = g; slices[g][s].slice = s % SLICES; }
    }
    initialised = 1;
    return OK;
}
int nvmlShutdown(void) { initialised = 0; return OK; }
const char *nvmlErrorString(int code) { static char text[32]; snprintf(text, sizeof text, "stub error %d", code); return text; }
int nvmlSystemGetDriverVersion(char *text, unsigned n) { ENTER(-1); snprintf(text, n, "580.65.06"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { ENTER(-1); *version = 13000; return OK; }
int nvmlDeviceGetCount_v2(unsigned *n) { ENTER(-1); *n = (unsigned)value("gpus", -1, 1); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Device **d) {
    ENTER((int)i);
    if (i >= (unsigned)value("gpus", -1, 1)) return INVALID;
    *d = &whole[i];
    return OK;
}
int nvmlDeviceGetName(Device *d, char *text, unsigned n) {
    ENTER(d->index);
    snprintf(text, n, d->slice < 0 ? "NVIDIA H100 80GB HBM3" : "NVIDIA H100 80GB HBM3 MIG 1g.10gb");
    return OK;
}
int nvmlDeviceGetUUID(Device *d, char *text, unsigned n) {
    ENTER(d->index);
    if (d->slice < 0) snprintf(text, n, "GPU-%08d", d->index);
    else snprintf(text, n, "MIG-%08d-%d", d->index, d->slice);
    return OK;
}
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char text[32]; } Pci;
static void place(Pci *p, int gpu) {
    memset(p, 0, sizeof *p);
    p->bus = (unsigned)value("bus", gpu, 0x17 + gpu);
    snprintf(p->text, sizeof p->text, "00000000:%02X:00.0", p->bus);
}
int nvmlDeviceGetPciInfo_v3(Device *d, Pci *p) {
    WHOLE(d);
    place(p, d->index);
    return OK;
}
int nvmlDeviceGetVbiosVersion(Device *d, char *text, unsigned n) { WHOLE(d); snprintf(text, n, "96.00.89.00.01"); return OK; }
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) { ENTER(d->index); *major = 9; *minor = 0; return OK; }
int nvmlDeviceGetPersistenceMode(Device *d, unsigned *on) { WHOLE(d); *on = (unsigned)V("persistence", 1); return OK; }
int nvmlDeviceGetEccMode(Device *d, unsigned *now, unsigned *pending) { WHOLE(d); *now = *pending = (unsigned)V("ecc", 1); return OK; }

/* ---- readings of every second ---- */

typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Device *d, Utilization *u) {
    WHOLE(d);
    if (V("mig", 0)) return NOT_SUPPORTED;
    u->gpu = (unsigned)V("utilization", 50 + d->index); u->memory = (unsigned)V("memory_busy", 20 + d->index);
    return OK;
}
typedef struct { uint64_t total, free, used; } Memory;
static int dead(Device *d) { return d->slice >= 0 && (d - slices[d->index] >= SLICES) != (V("mig_remade", 0) > 0); }
int nvmlDeviceGetMemoryInfo(Device *d, Memory *m) {
    ENTER(d->index);
    if (dead(d)) return NOT_FOUND;
    m->total = (uint64_t)V("memory_total", 80.0 * (1 << 30)); m->used = (uint64_t)V("memory_used", (1.0 + d->index) * (1 << 30));
    m->free = m->total - m->used;
    return OK;
}
#ifndef WITHOUT_NEW
typedef struct { unsigned version; uint64_t total, reserved, free, used; } MemoryV2;
int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *m) {
    ENTER(d->index);
    if (dead(d)) return NOT_FOUND;
    if (m->version != 0x02000028) return 25;
    int parts = d->slice < 0 ? 1 : 8;
    m->total = (uint64_t)(V("memory_total", 80.0 * (1 << 30)) / parts); m->reserved = (uint64_t)V("memory_reserved", 600 << 20);
    m->used = (uint64_t)(V("memory_used", (1.0 + d->index) * (1 << 30)) / parts); m->free = m->total - m->reserved - m->used;
    return OK;
}
typedef struct { unsigned version, sensor; int temperature; } TemperatureV1;
int nvmlDeviceGetTemperatureV(Device *d, TemperatureV1 *t) {
    WHOLE(d);
    if (t->version != 0x0100000C) return 25;
    t->temperature = (int)V("temperature", 40 + d->index);
    return OK;
}
typedef struct { unsigned version; int margin; } Margin;
int nvmlDeviceGetMarginTemperature(Device *d, Margin *m) { WHOLE(d); m->margin = (int)V("margin", 47 - d->index); return OK; }
#endif
int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *t) { WHOLE(d); (void)sensor; *t = (unsigned)V("temperature", 40 + d->index); return OK; }
int nvmlDeviceGetTemperatureThreshold(Device *d, unsigned which, unsigned *t) {
    WHOLE(d);
    static const double celsius[] = {92, 89, 105, 87};
    if (which > 3) return NOT_SUPPORTED;
    *t = (unsigned)celsius[which];
    return OK;
}
int nvmlDeviceGetPowerUsage(Device *d, unsigned *mw) { WHOLE(d); *mw = (unsigned)V("power", 300500 + d->index); return OK; }
int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *mw) { WHOLE(d); *mw = (unsigned)V("power_limit", 700000); return OK; }
int nvmlDeviceGetPowerManagementDefaultLimit(Device *d, unsigned *mw) { WHOLE(d); *mw = 700000; return OK; }
int nvmlDeviceGetClockInfo(Device *d, unsigned type, unsigned *mhz) { WHOLE(d); *mhz = type == 2 ? 2619 : 1980; return OK; }
int nvmlDeviceGetMaxClockInfo(Device *d, unsigned type, unsigned *mhz) { WHOLE(d); *mhz = type == 2 ? 2619 : 1980; return OK; }
#ifndef WITHOUT_NEW
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, uint64_t *mask) { WHOLE(d); *mask = (uint64_t)V("reasons", 0x4); return OK; }
#endif
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, uint64_t *mask) { WHOLE(d); *mask = (uint64_t)V("reasons", 0x4); return OK; }
int nvmlDeviceGetPerformanceState(Device *d, unsigned *state) { WHOLE(d); *state = (unsigned)V("pstate", 0); return OK; }

typedef union { double d; unsigned ui; uint64_t ull; } Value;
typedef struct { unsigned id, scope; int64_t timestamp, latency; unsigned type; int code; Value value; } Field;
static void answer(Device *d, Field *f) {
    char name[24], more[32];
    double otherwise = 1000.0 * f->id + d->index;
    int code = OK;
    f->type = 3; /* unsigned long long */
    f->latency = (int64_t)V("latency", 5);
    switch (f->id) {
    case 185: case 186: f->type = 1; otherwise = 300000 + (f->id == 186 ? 20000 : 0) + d->index; break;
    case 189: case 190: f->type = 1; otherwise = 700000; break;
    case 82: f->type = 1; otherwise = 60 + d->index; break;
    case 83: otherwise = 5000000; break; /* mJ */
    case 29: case 30: case 31: code = NOT_SUPPORTED; break; /* Ampere and newer remap rows instead */
    case 91: f->type = 1; otherwise = 18; code = V("nvlink", 2) ? OK : NOT_SUPPORTED; break;
    case 147: f->type = 1; otherwise = V("nvlink", 2) == 2 ? V("links_up", 18) : 0; break;
    case 144: case 145: case 230: f->type = 1; otherwise = 0; break;
    case 193: case 194: case 195: case 196: f->type = 5; otherwise = f->id == 193 ? -8 : -2; break;
    case 202: case 204: code = NOT_SUPPORTED; break; /* NVLink 5 only */
    default:
        if (f->id >= 206 && f->id <= 222) code = NOT_SUPPORTED;
        if (f->id >= 3 && f->id <= 6) otherwise = f->id;
    }
    int silent = f->id >= 206 && f->id <= 222 && (int)f->scope == (int)V("silent_link", -1);
    if (numbered) {
        snprintf(name, sizeof name, "field.%u", f->id);
        snprintf(more, sizeof more, "%s.code", name); code = (int)V(more, code);
        snprintf(more, sizeof more, "%s.type", name); f->type = (unsigned)V(more, f->type);
        otherwise = V(name, otherwise);
    }
    if (silent) code = NOT_SUPPORTED;
    f->code = code;
    if (code) return;
    f->value.ull = 0;
    if (f->type == 0) f->value.d = otherwise;
    else if (f->type == 1) f->value.ui = (unsigned)otherwise;
    else f->value.ull = (uint64_t)(int64_t)otherwise;
}
int nvmlDeviceGetFieldValues(Device *d, int n, Field *fields) {
    WHOLE(d);
    for (int i = 0; i < n; i++) answer(d, &fields[i]);
    return OK;
}

/* ---- GPM ---- */
#ifndef WITHOUT_NEW
typedef struct { unsigned version, supported; } GpmSupport;
typedef struct { uint64_t magic; Device *d; double at; } Sample;
typedef struct { unsigned id; int code; double value; void *info[3]; } Metric;
typedef struct { unsigned version, n; Sample *first, *second; Metric metrics[477]; } Metrics;
static double seconds(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int nvmlGpmQueryDeviceSupport(Device *d, GpmSupport *s) { ENTER(d->index); s->supported = (unsigned)V("gpm", 1); return OK; }
int nvmlGpmSampleAlloc(Sample **s) { ENTER(-1); *s = calloc(1, sizeof **s); (*s)->magic = 0x6d7067; return OK; }
int nvmlGpmSampleFree(Sample *s) { if (s->magic != 0x6d7067) abort(); free(s); return OK; }
int nvmlGpmSampleGet(Device *d, Sample *s) {
    ENTER(d->index);
    if (s->magic != 0x6d7067) return INVALID;
    s->d = d; s->at = seconds();
    return OK;
}
int nvmlGpmMigSampleGet(Device *d, unsigned instance, Sample *s) {
    ENTER(d->index);
    if (instance < 7 || instance >= 7 + SLICES) return INVALID;
    s->d = &slices[d->index][instance - 7]; s->at = seconds();
    return OK;
}
int nvmlGpmMetricsGet(Metrics *m) {
    if (!m->first || !m->second || m->first->magic != 0x6d7067 || m->second->magic != 0x6d7067) return INVALID;
    if (!m->first->d || !m->second->d) return INVALID; /* no sample was taken */
    Device *d = m->second->d;
    ENTER(d->index);
    if (m->version != 1 || m->second->at <= m->first->at) return INVALID;
    if (m->second->at - m->first->at < V("gpm_gap", 0)) return INVALID;
    for (unsigned i = 0; i < m->n; i++) {
        char name[24];
        Metric *one = &m->metrics[i];
        if (one->id >= 248 && !V("gpm_cumulative", 0)) { one->code = NOT_SUPPORTED; continue; }
        one->code = OK;
        one->value = one->id >= 248 ? 1e9 * (one->id - 247) + d->index : 4.0 * one->id + d->index + (d->slice + 1) / 10.0;
        if (!numbered) continue;
        snprintf(name, sizeof name, "gpm.%u", one->id);
        one->value = V(name, one->value);
        snprintf(name, sizeof name, "gpm.%u.code", one->id);
        one->code = (int)V(name, OK);
    }
    return OK;
}
#endif

/* ---- readings of every ten seconds ---- */

#ifdef WITHOUT_NEW
#define nvmlDeviceGetComputeRunningProcesses_v3 nvmlDeviceGetComputeRunningProcesses_v2
#endif
typedef struct { unsigned pid; uint64_t memory; unsigned gi, ci; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *n, Process *p) {
    ENTER(d->index);
    if (d->slice < 0 && V("mig", 0)) { *n = 0; return OK; }
    unsigned have = (unsigned)V("processes", 1);
    if (*n < have || (!p && have)) { *n = have; return have ? TOO_SMALL : OK; }
    *n = have;
    for (unsigned i = 0; i < have; i++) {
        p[i].pid = (unsigned)V("pid", 1000 + 10 * d->index) + i;
        double memory = V("process_memory", (i + 1.0) * (1 << 30));
        p[i].memory = memory < 0 ? ~0ull : (uint64_t)memory; /* what the driver gives for "not known" */
        p[i].gi = p[i].ci = 0xffffffff;
    }
    return OK;
}
typedef struct { unsigned pid; uint64_t at; unsigned sm, memory, encoder, decoder; } Share;
int nvmlDeviceGetProcessUtilization(Device *d, Share *s, unsigned *n, uint64_t since) {
    WHOLE(d);
    unsigned have = 2 * (unsigned)V("processes", 1); /* two samples of each process */
    if (!have || since >= 2000) return V("no_shares", NOT_FOUND);
    if (!s) { *n = have; return TOO_SMALL; }
    for (unsigned i = 0; i < have; i++) {
        s[i].pid = (unsigned)V("pid", 1000 + 10 * d->index) + i / 2;
        s[i].at = 1000 + 1000 * (i % 2);
        s[i].sm = 40 + 20 * (i % 2);
    }
    *n = have;
    return OK;
}
int nvmlDeviceGetCurrPcieLinkGeneration(Device *d, unsigned *n) { WHOLE(d); *n = (unsigned)V("pcie_generation", 5); return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(Device *d, unsigned *n) { WHOLE(d); *n = 5; return OK; }
int nvmlDeviceGetCurrPcieLinkWidth(Device *d, unsigned *n) { WHOLE(d); *n = (unsigned)V("pcie_width", 16); return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(Device *d, unsigned *n) { WHOLE(d); *n = 16; return OK; }
int nvmlDeviceGetNvLinkState(Device *d, unsigned link, unsigned *active) {
    WHOLE(d);
    if (!V("nvlink", 2)) return NOT_SUPPORTED;
    if ((int)link == (int)V("silent_link", -1)) return NOT_SUPPORTED;
    *active = link < (unsigned)V("links_up", 18);
    return OK;
}
#ifndef WITHOUT_NEW
int nvmlDeviceGetNvLinkRemoteDeviceType(Device *d, unsigned link, unsigned *type) {
    WHOLE(d);
    if (link >= (unsigned)V("links_up", 18)) return NOT_SUPPORTED;
    *type = (unsigned)V("remote_type", V("nvlink", 2) == 2 ? 2 : 0);
    return OK;
}
#endif
int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device *d, unsigned link, Pci *p) {
    WHOLE(d);
    if (link >= (unsigned)V("links_up", 18)) return NOT_SUPPORTED;
    place(p, d->index ^ 1);
    if (V("nvlink", 2) == 2) { p->bus = 0x05; snprintf(p->text, sizeof p->text, "00000000:05:00.0"); } /* a switch */
    return OK;
}
int nvmlDeviceGetP2PStatus(Device *d, Device *other, unsigned which, unsigned *status) {
    WHOLE(d);
    if (which != 2) return INVALID; /* by NVLink */
    int kind = (int)V("nvlink", 2), linked = kind == 2 || (kind == 1 && (d->index ^ 1) == other->index);
    *status = (unsigned)V("p2p", linked ? 0 : 3);
    return OK;
}
int nvmlDeviceGetTopologyCommonAncestor(Device *d, Device *other, unsigned *level) {
    WHOLE(d);
    int half = (int)value("gpus", -1, 1) / 2; /* at each of two sockets */
    *level = (unsigned)V("ancestor", d->index < half && other->index >= half ? 50 : 40);
    return OK;
}
#ifndef WITHOUT_NEW
typedef struct { unsigned version; uint8_t cluster[16]; int status; unsigned clique; uint8_t state; unsigned health; } Fabric;
int nvmlDeviceGetGpuFabricInfoV(Device *d, Fabric *f) {
    WHOLE(d);
    if (f->version != 0x02000024) return 25;
    f->status = 0; f->clique = 1; f->state = (uint8_t)V("fabric_state", 3);
    f->health = (unsigned)V("fabric_health", 0x1aa);
    return OK;
}
#endif

/* ---- MIG ---- */

int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *pending) { WHOLE(d); *now = *pending = V("mig", 0) > 0; return OK; }
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *n) { WHOLE(d); *n = SLICES; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned i, Device **slice) {
    WHOLE(d);
    if (i >= (unsigned)V("mig", 0)) return NOT_FOUND;
    *slice = &slices[d->index][i + (V("mig_remade", 0) ? SLICES : 0)];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(Device *d, unsigned *id) { ENTER(d->index); *id = 7 + (unsigned)d->slice; return d->slice < 0 ? NOT_SUPPORTED : OK; }

/* ---- events ---- */

typedef struct { Device *device; uint64_t type, data; unsigned gi, ci; } Event;
typedef struct { unsigned heard; } Set; /* what happened before is not told again */
int nvmlEventSetCreate(Set **set) { ENTER(-1); *set = malloc(sizeof **set); (*set)->heard = happened; return OK; }
int nvmlEventSetFree(Set *set) { free(set); return OK; }
int nvmlDeviceGetSupportedEventTypes(Device *d, uint64_t *types) { WHOLE(d); *types = 0x8 | 0x2; return OK; }
int nvmlDeviceRegisterEvents(Device *d, uint64_t types, Set *set) { WHOLE(d); (void)set; return types & ~(uint64_t)0xa ? NOT_SUPPORTED : OK; }
int nvmlEventSetWait_v2(Set *set, Event *event, unsigned ms) {
    int e = enter("nvmlEventSetWait_v2", -1);
    if (e) return e;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000; until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000; until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    while (set->heard == happened && !e) e = pthread_cond_timedwait(&raised, &lock, &until);
    if (set->heard == happened) { pthread_mutex_unlock(&lock); return TIMEOUT; }
    memset(event, 0, sizeof *event);
    unsigned i = set->heard++ % EVENTS;
    event->device = &whole[events[i].gpu]; event->type = events[i].type; event->data = events[i].data;
    pthread_mutex_unlock(&lock);
    return OK;
}
