package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows the progress of the run on one line, which is rewritten in place on
// a terminal. Otherwise it prints a line every ten seconds.
type progress struct {
	out   io.Writer
	live  bool // out is a terminal
	every time.Duration

	mu         sync.Mutex
	what       string
	done, of   int
	began, due time.Time
}

func newProgress(out *os.File) *progress {
	p := &progress{out: out, every: 10 * time.Second}
	if info, err := out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		p.live, p.every = true, 100*time.Millisecond
	}
	return p
}

// begin ends the previous activity and starts a new one with a number of steps.
func (p *progress) begin(what string, of int) {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.done, p.of, p.began = what, 0, of, time.Now()
	p.due = p.began.Add(p.every)
}

func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if now := time.Now(); now.After(p.due) {
		p.due = now.Add(p.every)
		p.show()
	}
}

// end shows the last state of what was begun, if anything.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what == "" {
		return
	}
	p.show()
	if p.live {
		fmt.Fprintln(p.out)
	}
	p.what = ""
}

// print prints a line without breaking the progress line.
func (p *progress) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) show() {
	line := fmt.Sprintf("%s %d of %d, %.1f s", p.what, p.done, p.of, time.Since(p.began).Seconds())
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K"+line)
		return
	}
	fmt.Fprintln(p.out, line)
}
