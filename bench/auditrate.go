package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"
)

// audit audits the streams with the real program, and requires that it finds nothing.
func (s *scale) audit(ctx context.Context, n int, url string) error {
	cmd := exec.CommandContext(ctx, s.program, "audit", "--nats", url, "--data", "", "--json")
	var printed bytes.Buffer
	cmd.Stdout = &printed
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	took, memory, out := time.Since(began), peak(), printed.Bytes()
	var report struct {
		Violations []json.RawMessage `json:"violations"`
		Streams    []struct {
			Events int `json:"facts"`
		} `json:"streams"`
	}
	if wrong := json.Unmarshal(out, &report); wrong != nil {
		return fmt.Errorf("lonja audit: %w: %.2000s", err, out)
	}
	if len(report.Violations) > 0 || err != nil {
		return fmt.Errorf("the audit of the seeded log found %d violations, the first: %s (%w)", len(report.Violations), append(report.Violations, nil)[0], err)
	}
	events := 0
	for _, stream := range report.Streams {
		events += stream.Events
	}
	s.out.add(n, "audit", fmt.Sprintf("%.1f s, %.0f events/s, %s at its highest", took.Seconds(), float64(events)/took.Seconds(), megabytes(memory)))
	return nil
}

// peakInterval is the time between two looks at a process's peak, which may miss what is added in the last one.
const peakInterval = 20 * time.Millisecond

// watchPeak watches the peak of a process's resident memory in bytes until the function that it returns
// is called, once. What the system says of a process that has ended is no good: it begins with the peak of
// its parent, and a benchmark that has seeded a shop had a gigabyte.
func watchPeak(pid int) (peak func() int64) {
	ended, result := make(chan struct{}), make(chan int64)
	go func() {
		var highest int64
		tick := time.NewTicker(peakInterval)
		defer tick.Stop()
		for {
			if _, now, err := memoryOf(pid); err == nil {
				highest = max(highest, now)
			}
			select {
			case <-tick.C:
			case <-ended:
				result <- highest
				return
			}
		}
	}()
	return func() int64 { close(ended); return <-result }
}
