package service_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/keyring"
)

// Upkeep is called again and again while the service serves, whatever becomes of it, and not
// when the service has stopped.
func TestUpkeep_RunsWhileTheServiceServes(t *testing.T) {
	f := newFixture(t)
	s := f.counters()
	var calls atomic.Int64
	stopping := make(chan struct{})
	s.UpkeepInterval = time.Millisecond
	s.Upkeep = func(ctx context.Context, _ *keyring.Ring) error {
		switch calls.Add(1) {
		case 1:
			return errors.New("not now")
		case 2:
			panic("broken")
		case 4:
			<-ctx.Done() // as a request that is not answered
			close(stopping)
			return ctx.Err()
		}
		return nil
	}
	stop := f.run(s)
	f.eventually(func() error {
		if n := calls.Load(); n < 4 {
			return errors.New("called too rarely")
		}
		return nil
	})
	stop()
	select {
	case <-stopping:
	default:
		t.Error("Run did not wait for the upkeep")
	}
	if n := calls.Load(); n != 4 {
		t.Errorf("called %d times", n)
	}
}
