package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	goruntime "runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// softLimit is the Go runtime's memory up to which its garbage collector works as usual. It
// works more often where there would be more, so that a burst does not leave the process at
// twice the size of what it needs.
const softLimit = 160 << 20

// memoryCheckInterval is the time between two looks at what is in use.
const memoryCheckInterval = 500 * time.Millisecond

// limitMemory keeps the Go runtime's soft limit of memory fitting until ctx ends. It does nothing when
// the environment sets a limit (GOMEMLIMIT).
func limitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	container := containerMemory("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
	debug.SetMemoryLimit(memoryLimit(0, 0, container))
	go checkMemory(ctx, container)
}

// checkMemory keeps the soft limit fitting, and returns memory to the system at rest.
func checkMemory(ctx context.Context, container uint64) {
	samples := []goruntime.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	var rest resting
	tick := time.NewTicker(memoryCheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		goruntime.Read(samples)
		live, allocated, other := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
		for _, heap := range samples[3:] {
			other -= min(other, heap.Value.Uint64())
		}
		debug.SetMemoryLimit(memoryLimit(live, other, container))
		held := samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if rest.shouldTrim(allocated, live, held) {
			trimMemory()
		}
	}
}

// trimMemory collects garbage and returns to the system what is free. What a sync.Pool holds,
// such as the NATS server's buffers of 8 MB, outlives one collection.
func trimMemory() {
	runtime.GC()
	debug.FreeOSMemory()
}

// resting notices that a process is at rest. The runtime by itself collects garbage only when more is
// made, or after two minutes, so a burst would leave its garbage behind.
type resting struct {
	allocated uint64 // bytes since the process began, at the last check
	quiet     int    // checks in a row in which little was allocated
}

const (
	// quietAllocation is how many bytes a process at rest may allocate between two checks.
	quietAllocation = 2 << 20
	// quietChecks is how many such checks make a rest: five seconds.
	quietChecks = 10
	// worthTrimming is the least number of bytes to return: a collection costs CPU time.
	worthTrimming = 24 << 20
)

// shouldTrim is called at each check. Allocated is how many bytes were allocated in all, live what was in
// use after the last garbage collection, and held what objects and free memory of the heap take now.
func (r *resting) shouldTrim(allocated, live, held uint64) bool {
	if r.quiet++; allocated-r.allocated > quietAllocation {
		r.quiet = 0
	}
	r.allocated = allocated
	// Live includes what pools hold, so the first trim may show that there is more.
	if r.quiet < quietChecks || held < live+max(worthTrimming, live/4) {
		return false
	}
	r.quiet = 0
	return true
}

// memoryLimit returns the soft limit when live bytes of the heap were in use after the last
// garbage collection and the runtime needs other bytes, such as stacks. container is the limit
// of the container's memory, 0 when there is none.
//
// A fixed limit would be a trap: a process that needs more than it collects without end. So
// there is always room for half as much garbage as is in use, which costs at most twice the
// collections that there would be without a limit. In a container the limit stays a quarter
// below the container's, for what the runtime does not count, such as SQLite's caches: it is
// better to be slow than to be killed.
func memoryLimit(live, other, container uint64) int64 {
	limit := max(softLimit, live+live/2+other)
	if container > 0 {
		limit = min(limit, container-container/4)
	}
	return int64(limit)
}

// containerMemory returns the memory limit of the control group in the first of the files that
// exists, in bytes, and 0 when there is none.
func containerMemory(files ...string) uint64 {
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n > 1<<50 { // "max", or a number that means the same
			return 0
		}
		return n
	}
	return 0
}
