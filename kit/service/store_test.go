package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest/baddisk"
	"lonja/kit/natsembed"
)

// The server inside is opened again beneath everything that uses it: commands,
// reactions, views and queries go on over the same connection.
func TestService_GoesOnAfterItsStoreHasFailed(t *testing.T) {
	f := newFixture(t)
	f.store = f.log.Server.Healthy
	f.start()
	if _, err := f.Send(t.Context(), add{"a", 1}, eventlog.Envelope{}); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-a", 1)
	for round := 1; round <= 3; round++ {
		well := f.log.Server.Healthy()
		f.log.InjectFault(baddisk.NoSpace)
		_, err := f.Send(t.Context(), add{"a", 1}, eventlog.Envelope{ID: fmt.Sprint("w", round)})
		if r, ok := errs.As(err); !ok || r.Code != errs.Unavailable || !strings.Contains(r.Detail, natsembed.ErrFull.Error()) {
			t.Errorf("round %d: a command that cannot be written: %v", round, err)
		}
		select {
		case <-well.Done():
		case <-time.After(15 * time.Second):
			t.Fatal("the failure was not noticed")
		}
		f.eventually(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // an answer is lost with the server
			defer cancel()
			_, err := f.Send(ctx, add{"a", 1}, eventlog.Envelope{ID: fmt.Sprint("w", round)})
			return err
		})
		f.awaitTotal("a", round+1)
		f.awaitTotal("echo-a", round+1)
		f.eventually(func() error {
			if all := f.health(); len(all) != 1 || !all[0].Ready {
				return fmt.Errorf("not ready: %+v", all)
			}
			return nil
		})
	}
}

func TestService_IsNotReadyWhileItsStoreTakesNothing(t *testing.T) {
	f := newFixture(t)
	why := errors.New("the disk is full")
	f.store = func() context.Context {
		store, stop := context.WithCancelCause(context.Background())
		stop(why)
		return store
	}
	f.start()
	f.eventually(func() error {
		if all := f.health(); len(all) != 1 || all[0].Ready || !strings.Contains(all[0].Log, why.Error()) {
			return fmt.Errorf("health %+v", all)
		}
		return nil
	})
	_, err := f.Send(t.Context(), add{"a", 1}, eventlog.Envelope{})
	if r, ok := errs.As(err); !ok || r.Code != errs.Unavailable || !strings.Contains(r.Detail, why.Error()) {
		t.Errorf("a command: %v", err)
	}
	f.awaitTotal("a", 0) // which is a query that is answered
}
