package natsembed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Why a store takes no messages. It does again, by itself, once there is space or
// the disk takes and syncs files.
var (
	ErrFull   = errors.New("the disk is full")
	ErrBroken = errors.New("the storage has failed")
)

const (
	every    = 200 * time.Millisecond // how often the store is looked at
	longest  = 5 * time.Second        // between two tries to open it again
	flapping = 10 * time.Second       // a store that fails again within that is given more time
	margin   = 1 << 20                // with fewer bytes left than that, the store is full
)

// Healthy is a context that ends when the store takes no messages any more. Its
// cause is ErrDeadLettersFull or ErrBroken. Once the store has healed there is another one.
func (b *Server) Healthy() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.healthy
}

// Free is how many bytes are free on the store's disk.
func (b *Server) Free() (int64, error) {
	free, _, err := freeAround(b.config.Dir)
	return free, err
}

// watch looks after the store until ctx ends. A store that has failed is opened
// again as soon as its disk takes files; one that fails again and again, less and
// less often.
func (b *Server) watch(ctx context.Context) {
	var tried time.Time
	var rest time.Duration
	for pause(ctx, every) {
		if broken := b.look(); !broken || b.takesFiles() != nil {
			continue
		}
		if time.Since(tried) > flapping {
			rest = 0
		}
		if !pause(ctx, rest) {
			return
		}
		tried, rest = time.Now(), min(max(2*rest, every), longest)
		if err := b.reopen(); err != nil {
			b.config.Logger.Error("the store cannot be opened again yet", "error", err)
			continue
		}
		b.look()
	}
}

// pause waits, and is false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// look finds out whether the store takes messages, and tells those who hold Well.
// It reports whether the store must be opened again.
func (b *Server) look() (broken bool) {
	broken, err := b.examine()
	b.mu.Lock()
	defer b.mu.Unlock()
	was := context.Cause(b.healthy)
	switch {
	case err != nil && was == nil:
		b.config.Logger.Error("the store takes no messages", "reason", err)
		b.fail(short(err))
	case err == nil && was != nil:
		b.config.Logger.Info("the store takes messages again")
		b.healthy, b.fail = context.WithCancelCause(context.Background())
	}
	return broken
}

// short is an error as anybody may see it.
func short(err error) error {
	if errors.Is(err, ErrFull) {
		return ErrFull
	}
	return ErrBroken
}

// examine is why the store takes no messages, and whether it must be opened again.
func (b *Server) examine() (broken bool, err error) {
	b.mu.Lock()
	s, was := b.server, context.Cause(b.healthy) != nil
	b.mu.Unlock()
	if s == nil {
		return true, ErrBroken
	}
	if !s.JetStreamEnabled() {
		return true, fmt.Errorf("%w: the server has closed it", ErrBroken)
	}
	st, err := stateOf(s) // before its errors: without any, this was how far it had come
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if failed := writeErrors(s); failed != "" {
		if strings.Contains(failed, "no space left") || strings.Contains(failed, "quota exceeded") {
			return true, fmt.Errorf("%w: %s", ErrFull, failed)
		}
		return true, fmt.Errorf("%w: %s", ErrBroken, failed)
	}
	b.mu.Lock()
	b.ends = st.ends
	b.mu.Unlock()
	if err := b.roomy(was); err != nil {
		return false, err
	}
	return b.filled(st)
}

// writeErrors are the server's own words about streams that it cannot write to.
func writeErrors(s *server.Server) string {
	var failed []string
	for _, e := range s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if strings.Contains(e.Error, "write error") {
			failed = append(failed, e.Error)
		}
	}
	return strings.Join(failed, "; ")
}

// roomy is ErrDeadLettersFull when the disk has less left than the reserve. One that was full
// must have half as much again before it counts as free.
func (b *Server) roomy(was bool) error {
	free, total, err := freeAround(b.config.Dir)
	if err != nil {
		return err
	}
	least := reserve(total)
	if was {
		least += least / 2
	}
	if free < least {
		return fmt.Errorf("%w: %d KiB are free around %s, and %d KiB are kept in reserve", ErrFull, free>>10, b.config.Dir, least>>10)
	}
	return nil
}

// filled is ErrDeadLettersFull when the store has reached its limit. When there is more room
// by now, the store must be opened again to use it.
func (b *Server) filled(st state) (broken bool, err error) {
	if st.used+margin <= st.most {
		return false, nil
	}
	limit, err := b.config.limit()
	return err == nil && limit > st.most+4*margin, fmt.Errorf("%w: the store holds %d MiB of the %d that it may", ErrFull, st.used>>20, st.most>>20)
}

// takesFiles makes sure that the disk has room, and takes a file and syncs it.
func (b *Server) takesFiles() error {
	if err := b.roomy(true); err != nil {
		return err
	}
	return try(b.config.Dir)
}

// reopen closes the server, if it still runs, and opens it again. It does not go
// on with less than what the streams had reached when all was well.
func (b *Server) reopen() error {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s != nil {
		shutDown(s)
	}
	b.config.Logger.Warn("the store is opened again")
	return b.open()
}
