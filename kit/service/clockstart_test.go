package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// waitingClock is a clock whose view holds one event of two and is run by the test only.
func waitingClock(t *testing.T, project func(*projection.Tx, eventlog.Record) error) (c *clock, warned *strings.Builder) {
	t.Helper()
	log, warned := kittest.New(t), &strings.Builder{}
	v := projection.New(projection.Definition{
		Name: "pending", Schema: `CREATE TABLE pending (n INTEGER)`, Project: project,
		Reads: []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	})
	if err := v.Open(t.Context(), projection.Config{JetStream: log.JS, Log: log.Log, Dir: t.TempDir(), Consumer: "test", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	log.Add("x", 1)
	d := &deps{Config: Config{Logger: slog.New(slog.NewTextHandler(warned, nil))}}
	return newClock(d, &Timer{Name: "test-later", View: v}, newPace()), warned
}

func TestClock_WaitsNoLongerForRowsThatGetNoFurther(t *testing.T) {
	c, warned := waitingClock(t, func(*projection.Tx, eventlog.Record) error { return nil })
	c.patience = 100 * time.Millisecond
	began := time.Now()
	c.awaitRows(t.Context()) // nobody runs the view
	if took := time.Since(began); took < c.patience {
		t.Errorf("it waited for %s", took)
	}
	if got := warned.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "timer=test-later") {
		t.Errorf("logged %q", got)
	}
}

func TestClock_DoesNotWaitForAViewThatHasFailed(t *testing.T) {
	c, warned := waitingClock(t, func(*projection.Tx, eventlog.Record) error { return errors.New("a bug") })
	failed := make(chan error, 1)
	go func() { failed <- c.timer.View.Run(t.Context()) }()
	c.patience = 24 * time.Hour
	c.awaitRows(t.Context())
	if err := <-failed; err == nil {
		t.Error("the view has not failed")
	}
	if got := warned.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "a bug") {
		t.Errorf("logged %q", got)
	}
}

func TestClock_StopsWhileItWaits(t *testing.T) {
	c, warned := waitingClock(t, func(*projection.Tx, eventlog.Record) error { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c.awaitRows(ctx)
	if got := warned.String(); got != "" {
		t.Errorf("logged %q", got)
	}
}
