package service_test

import (
	"fmt"
	"testing"

	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// Rows that miss most of the log answer while others are built, but no gateway should send anybody there.
func TestHealth_IsNotReadyWhileRowsThatAreFarBehindAreBuiltAnew(t *testing.T) {
	f := newFixture(t)
	a := newAlarms()
	stop := f.run(a.Service)
	if err := a.Views[0].Await(t.Context(), projection.Token{kittest.Stream: f.log.Add("later-a", 1)}); err != nil {
		t.Fatal(err)
	}
	stop()
	f.addMany(50_100, func(i int) string { return fmt.Sprint("later-", i) })
	a = newAlarms()
	a.gate = make(chan struct{})
	f.run(a.Service)
	f.eventually(func() error {
		h := a.Health(t.Context())
		if len(h.Views) != 1 || !h.Views[0].Rebuilding || h.Views[0].Lag[kittest.Stream] < 20_000 || h.Views[0].Failed != "" {
			return fmt.Errorf("health %+v", h)
		}
		if h.Ready || !a.Views[0].Queryable() {
			t.Fatalf("health %+v, queryable %v", h, a.Views[0].Queryable())
		}
		return nil
	})
	close(a.gate)
	f.eventually(func() error {
		h := a.Health(t.Context())
		if !h.Ready || h.Views[0].Rebuilding {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
	if built := a.Views[0].LastBuild(); built.Events != 50_101 {
		t.Errorf("built %+v", built)
	}
}
