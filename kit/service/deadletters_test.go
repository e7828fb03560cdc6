package service_test

import (
	"fmt"
	"strings"
	"testing"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/kittest"
)

func TestWhatFailsForEverGoesToTheDeadLettersOnceAndBackWhenRetried(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := bus.NewDeadLetterQueue(w.log.JS)
	poison := w.log.Poison("events.counter.c.added", "garbage")
	w.broken.Store(true)
	event := w.log.Add("c", 5)
	var letters []bus.DeadLetter
	w.eventually(func() (err error) {
		letters, _, err = box.List(t.Context(), 1, 10)
		if err == nil && len(letters) < 2 {
			err = fmt.Errorf("%d letters", len(letters))
		}
		return err
	})
	want := map[string]uint64{"undecodable": poison, "counters-echo": event}
	for _, l := range letters {
		if want[l.Consumer] != l.Sequence || l.Stream != kittest.Stream || l.Reason == "" {
			t.Errorf("letter %+v", l)
		}
	}
	if len(letters) != 2 || !strings.Contains(letters[1].Reason, "panic: broken") {
		t.Errorf("letters %+v", letters)
	}
	w.broken.Store(false)
	if to, err := box.Retry(t.Context(), letters[1].ID, w.streams); err != nil || fmt.Sprint(to) != "[counters-echo]" {
		t.Fatal(to, err)
	}
	w.awaitTotal("echo-c", 5)
	if err := box.Drop(t.Context(), letters[0].ID); err != nil {
		t.Error(err)
	}
	if left, total, err := box.List(t.Context(), 1, 10); err != nil || len(left) != 0 || total != 0 {
		t.Errorf("left %+v, %d, %v", left, total, err)
	}
	if err := box.Drop(t.Context(), letters[0].ID); !errs.Is(err, errs.NotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

func TestWhatIsRetriedInVainComesBackAsALetter(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := bus.NewDeadLetterQueue(w.log.JS)
	w.broken.Store(true)
	w.log.Add("c", 5)
	for range 2 {
		w.eventually(func() error {
			letters, _, err := box.List(t.Context(), 1, 10)
			if err == nil && (len(letters) != 1 || letters[0].Consumer != "counters-echo") {
				err = fmt.Errorf("letters %+v", letters)
			}
			if err == nil {
				_, err = box.Retry(t.Context(), letters[0].ID, w.streams)
			}
			return err
		})
	}
}
