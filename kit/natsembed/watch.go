package natsembed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// The reasons why a store accepts no messages; see [Server.Healthy]. It accepts them
// again, without a restart of the process, when there is space and the disk can
// write and sync files.
var (
	ErrFull   = errors.New("the disk is full")
	ErrBroken = errors.New("the storage has failed")
)

const (
	checkInterval = 200 * time.Millisecond // between two checks of the store
	maxBackoff    = 5 * time.Second        // between two attempts to open it again
	backoffReset  = 10 * time.Second       // there is no backoff if the last attempt is longer ago
	fullMargin    = 1 << 20                // bytes; a store with less space below its limit is full
)

// Healthy returns a context that ends when the store stops accepting messages. Its
// cause, from [context.Cause], is [ErrFull] or [ErrBroken] then; until then the cause
// is nil. When the store has recovered, Healthy returns a new context, so call it for
// each request and do not keep the result. Stop does not end the context.
func (s *Server) Healthy() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.healthy
}

// FreeBytes returns how many bytes are free on the disk of the store. It returns an
// error if the operating system does not report them.
func (s *Server) FreeBytes() (int64, error) {
	free, _, err := diskSpace(s.config.Dir)
	return free, err
}

// watch checks the store until ctx ends. It opens a store that has failed again as
// soon as the disk can write files. If the store keeps failing, watch waits longer
// each time.
func (s *Server) watch(ctx context.Context) {
	var lastAttempt time.Time
	var backoff time.Duration
	for pause(ctx, checkInterval) {
		if mustReopen := s.check(); !mustReopen || s.checkDisk() != nil {
			continue
		}
		if time.Since(lastAttempt) > backoffReset {
			backoff = 0
		}
		if !pause(ctx, backoff) {
			return
		}
		lastAttempt, backoff = time.Now(), min(max(2*backoff, checkInterval), maxBackoff)
		if err := s.reopen(); err != nil {
			s.config.Logger.Error("the store cannot be opened again yet", "error", err)
			continue
		}
		s.check()
	}
}

// pause waits for d. It returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// check finds out whether the store accepts messages, and ends or renews the context
// of Healthy. It reports whether the store must be opened again.
func (s *Server) check() (mustReopen bool) {
	mustReopen, err := s.examine()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := context.Cause(s.healthy)
	switch {
	case err != nil && before == nil:
		s.config.Logger.Error("the store accepts no messages", "reason", err)
		s.fail(publicReason(err))
	case err == nil && before != nil:
		s.config.Logger.Info("the store accepts messages again")
		s.healthy, s.fail = context.WithCancelCause(context.Background())
	}
	return mustReopen
}

// publicReason returns an error without internals, since clients see it.
func publicReason(err error) error {
	if errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrFull
	}
	return ErrBroken
}

// examine returns the reason why the store accepts no messages, nil if it does, and
// whether it must be opened again.
func (s *Server) examine() (mustReopen bool, err error) {
	s.mu.Lock()
	srv, group, unhealthy := s.server, s.group, context.Cause(s.healthy) != nil
	s.mu.Unlock()
	if srv == nil {
		return true, ErrBroken
	}
	if group != nil && group.stopped() != nil {
		return true, fmt.Errorf("%w: %w", publicReason(group.stopped()), group.stopped())
	}
	if !srv.JetStreamEnabled() {
		return true, fmt.Errorf("%w: the server has closed it", ErrBroken)
	}
	st, err := stateOf(srv) // before the write errors: if there are none, these ends were stored
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if failed := writeErrors(srv); failed != "" {
		if strings.Contains(failed, "no space left") || strings.Contains(failed, "quota exceeded") {
			return true, fmt.Errorf("%w: %s", ErrFull, failed)
		}
		return true, fmt.Errorf("%w: %s", ErrBroken, failed)
	}
	if group != nil {
		if group.slow() {
			return false, fmt.Errorf("%w: a sync takes longer than %v", ErrBroken, slowSync)
		}
		st.ends = group.ends()
	}
	s.mu.Lock()
	s.ends = st.ends
	s.mu.Unlock()
	if err := s.checkFree(unhealthy); err != nil {
		return false, err
	}
	return s.checkLimit(st)
}

// writeErrors returns the server's error messages about streams that it cannot write
// to, "" for none.
func writeErrors(srv *server.Server) string {
	var failed []string
	for _, e := range srv.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if strings.Contains(e.Error, "write error") {
			failed = append(failed, e.Error)
		}
	}
	return strings.Join(failed, "; ")
}

// checkFree returns ErrFull if the disk has less space left than the reserve. While a
// store is unhealthy, half as much again must be free, so that it does not switch
// back and forth.
func (s *Server) checkFree(unhealthy bool) error {
	free, total, err := diskSpace(s.config.Dir)
	if err != nil {
		return err
	}
	required := reserve(total)
	if unhealthy {
		required += required / 2
	}
	if free < required {
		return fmt.Errorf("%w: %d KiB are free on the disk of %s, and %d KiB are kept in reserve", ErrFull, free>>10, s.config.Dir, required>>10)
	}
	return nil
}

// checkLimit returns ErrFull if the store has reached its limit. If the limit could be
// higher now, the store must be opened again to apply it.
func (s *Server) checkLimit(st state) (mustReopen bool, err error) {
	if st.used+fullMargin <= st.limit {
		return false, nil
	}
	limit, err := s.config.limit()
	return err == nil && limit > st.limit+4*fullMargin, fmt.Errorf("%w: the store holds %d MiB of at most %d MiB", ErrFull, st.used>>20, st.limit>>20)
}

// checkDisk returns an error unless the disk has space, and can write and sync a file.
func (s *Server) checkDisk() error {
	if err := s.checkFree(true); err != nil {
		return err
	}
	return tryDisk(s.config.Dir)
}

// reopen closes the server if it still runs, and opens it again. It returns an error
// if a stream ends before the last sequence that it had when the store was healthy:
// acknowledged messages are lost then, and new ones would reuse their sequences.
func (s *Server) reopen() error {
	s.mu.Lock()
	srv, group := s.server, s.group
	s.server, s.group = nil, nil
	s.mu.Unlock()
	if group != nil {
		s.retire(srv, group)
	}
	if srv != nil {
		shutDown(srv)
	}
	s.config.Logger.Warn("the store is being opened again")
	return s.open()
}

// retire notes what the next server must find of a store whose messages are synced in
// groups, and what may not be on the disk.
func (s *Server) retire(srv *server.Server, group *groupSync) {
	group.close()
	st, err := stateOf(srv) // nobody publishes any more who relies on this store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends, s.doubt = group.ends(), group.inDoubt()
	if err == nil {
		s.seen = st.held
	}
}
