package service_test

import (
	"errors"
	"fmt"
	"testing"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

func TestDeferred_CommandTakesEffectOnceAndItsOutcomeIsStored(t *testing.T) {
	f := newFixture(t)
	stop := f.start()
	reached := eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: "ana"}}
	if _, err := f.Send(t.Context(), add{"c", 1}, reached); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := f.Send(t.Context(), add{"c", 1}, eventlog.Envelope{}); !errors.Is(err, bus.ErrNoService) {
		t.Fatalf("want ErrNoService, got %v", err)
	}
	fresh, rejected := eventlog.Envelope{ID: eventlog.NewID()}, eventlog.Envelope{ID: eventlog.NewID()}
	for _, c := range []struct {
		cmd add
		env eventlog.Envelope
	}{{add{"c", 1}, reached}, {add{"c", 2}, fresh}, {add{"c", 100}, rejected}, {add{"c", 2}, fresh}} {
		if err := f.Defer(t.Context(), c.cmd, c.env); err != nil {
			t.Fatal(err)
		}
	}
	if o, _, err := f.Outcome(t.Context(), fresh.ID); err != nil || o.Status != bus.OutcomePending {
		t.Fatalf("%+v, %v", o, err)
	}
	f.start()
	for id, want := range map[string]string{
		reached.ID:  `done 1 <nil>`,
		fresh.ID:    `done 3 <nil>`,
		rejected.ID: `refused  invalid: by must not be 100`,
	} {
		f.eventually(func() error {
			o, _, err := f.Outcome(t.Context(), id)
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
	f.awaitTotal("c", 3)
	if _, owner, err := f.Outcome(t.Context(), reached.ID); err != nil || owner != "ana" {
		t.Errorf("owner %q, %v", owner, err)
	}
	if _, _, err := f.Outcome(t.Context(), eventlog.NewID()); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown command: %v", err)
	}
}
