package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// progressBar shows how far a long command is, on a terminal only. It is safe for concurrent
// use.
type progressBar struct {
	mu    sync.Mutex
	to    *os.File // nil shows nothing
	began time.Time
	last  time.Time // when it was last shown
	shown bool
}

func newProgressBar(to *os.File) *progressBar {
	if info, err := to.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		to = nil
	}
	return &progressBar{to: to, began: time.Now()}
}

// show shows that done of so many messages are read, a few times a second at most.
func (p *progressBar) show(done, of uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to == nil || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.to, "\r\x1b[K%s", progressLine(done, of, time.Since(p.began)))
}

// progressLine is a bar, and how many messages are read and how fast.
func progressLine(done, of uint64, took time.Duration) string {
	const width = 30
	full := int(min(done, of) * width / max(of, 1))
	return fmt.Sprintf("[%s%s] %d of %d messages, %.0f/s", strings.Repeat("#", full), strings.Repeat(".", width-full), done, of, float64(done)/max(took.Seconds(), 0.001))
}

// hide removes what is shown, so that something else can be printed.
func (p *progressBar) hide() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}
