package service_test

import (
	"errors"
	"fmt"
	"testing"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

func TestADeferredCommandIsTakenUpOnceAndItsOutcomeKept(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	reached := eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: "ana"}}
	if _, err := w.Send(t.Context(), add{"c", 1}, reached); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := w.Send(t.Context(), add{"c", 1}, eventlog.Envelope{}); !errors.Is(err, bus.ErrNoService) {
		t.Fatalf("want ErrAbsent, got %v", err)
	}
	fresh, refused := eventlog.Envelope{ID: eventlog.NewID()}, eventlog.Envelope{ID: eventlog.NewID()}
	for _, left := range []struct {
		cmd add
		env eventlog.Envelope
	}{{add{"c", 1}, reached}, {add{"c", 2}, fresh}, {add{"c", 100}, refused}, {add{"c", 2}, fresh}} {
		if err := w.Defer(t.Context(), left.cmd, left.env); err != nil {
			t.Fatal(err)
		}
	}
	if o, _, err := w.Outcome(t.Context(), fresh.ID); err != nil || o.Status != bus.Pending {
		t.Fatalf("%+v, %v", o, err)
	}
	w.start()
	for id, want := range map[string]string{
		reached.ID: `done 1 <nil>`,
		fresh.ID:   `done 3 <nil>`,
		refused.ID: `refused  invalid: by must not be 100`,
	} {
		w.eventually(func() error {
			o, _, err := w.Outcome(t.Context(), id)
			if err != nil {
				return err
			}
			problem := any(nil)
			if o.Problem != nil {
				problem = o.Problem
			}
			if got := fmt.Sprintf("%s %s %v", o.Status, o.Result, problem); got != want {
				return fmt.Errorf("outcome is %q, want %q", got, want)
			}
			return nil
		})
	}
	w.awaitTotal("c", 3)
	if _, owner, err := w.Outcome(t.Context(), reached.ID); err != nil || owner != "ana" {
		t.Errorf("owner %q, %v", owner, err)
	}
	if _, _, err := w.Outcome(t.Context(), eventlog.NewID()); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown command: %v", err)
	}
}
