package main

import (
	"fmt"
	"os"
	"time"
)

// progress shows how far a long task is, on a terminal only.
type progress struct {
	to    *os.File // nil shows nothing
	what  string
	of    int
	shown time.Time
}

func newProgress(to *os.File, what string, of int) *progress {
	if info, err := to.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		to = nil
	}
	return &progress{to: to, what: what, of: of}
}

func (p *progress) at(n int) {
	if p.to == nil || time.Since(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.to, "\r\x1b[K%s %d of %d", p.what, n, p.of)
}

func (p *progress) end() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
