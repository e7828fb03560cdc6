package service_test

import (
	"fmt"
	"strings"
	"testing"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/kittest"
)

func TestDeadLetters_HoldAFailedMessageOnceAndHandItBack(t *testing.T) {
	f := newFixture(t)
	f.start()
	queue := bus.NewDeadLetterQueue(f.log.JS)
	poison := f.log.Poison("events.counter.c.added", "garbage")
	f.broken.Store(true)
	event := f.log.Add("c", 5)
	var letters []bus.DeadLetter
	f.eventually(func() (err error) {
		letters, _, err = queue.List(t.Context(), 1, 10)
		if err == nil && len(letters) < 2 {
			err = fmt.Errorf("%d dead letters", len(letters))
		}
		return err
	})
	want := map[string]uint64{"undecodable": poison, "counters-echo": event}
	for _, l := range letters {
		if want[l.Consumer] != l.Sequence || l.Stream != kittest.Stream || l.Reason == "" {
			t.Errorf("dead letter %+v", l)
		}
	}
	if len(letters) != 2 || !strings.Contains(letters[1].Reason, "panic: broken") {
		t.Errorf("dead letters %+v", letters)
	}
	f.broken.Store(false)
	if to, err := queue.Retry(t.Context(), letters[1].ID, f.streams); err != nil || fmt.Sprint(to) != "[counters-echo]" {
		t.Fatal(to, err)
	}
	f.awaitTotal("echo-c", 5)
	if err := queue.Drop(t.Context(), letters[0].ID); err != nil {
		t.Error(err)
	}
	if left, total, err := queue.List(t.Context(), 1, 10); err != nil || len(left) != 0 || total != 0 {
		t.Errorf("left %+v, %d, %v", left, total, err)
	}
	if err := queue.Drop(t.Context(), letters[0].ID); !errs.Is(err, errs.NotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

func TestRetry_ThatFailsMakesANewDeadLetter(t *testing.T) {
	f := newFixture(t)
	f.start()
	queue := bus.NewDeadLetterQueue(f.log.JS)
	f.broken.Store(true)
	f.log.Add("c", 5)
	for range 2 {
		f.eventually(func() error {
			letters, _, err := queue.List(t.Context(), 1, 10)
			if err == nil && (len(letters) != 1 || letters[0].Consumer != "counters-echo") {
				err = fmt.Errorf("dead letters %+v", letters)
			}
			if err == nil {
				_, err = queue.Retry(t.Context(), letters[0].ID, f.streams)
			}
			return err
		})
	}
}
