package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"tickets/doors"
	"tickets/events"
	"tickets/shows"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest/servicetest"
	"lonja/kit/service"
)

var anyone = eventlog.Actor{}

func start(t *testing.T, services ...*service.Service) *servicetest.World {
	t.Helper()
	return servicetest.Start(t, servicetest.Application{Name: "tickets", Codec: events.Codec, Streams: streamsYAML}, services...)
}

// recorded returns how many events a stream holds.
func recorded(t *testing.T, w *servicetest.World, stream string) uint64 {
	t.Helper()
	s, err := w.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func issued(w *servicetest.World, ticket string) events.TicketIssued {
	return servicetest.Await(w, "DOORS", func(e events.TicketIssued) bool { return e.TicketID == ticket })
}

func TestBuyersRaceForTheLastSeat_OneGetsIt(t *testing.T) {
	w := start(t, shows.New(), doors.New())
	w.Run(shows.New(), "b", t.TempDir()) // a second replica: commands go to either
	w.Do(shows.Schedule{ShowID: "jazz", Title: "Jazz night", Seats: 1}, anyone, nil)

	const buyers = 20
	var racing sync.WaitGroup
	outcomes := make([]error, buyers)
	for i := range buyers {
		racing.Go(func() {
			client := bus.NewClient(w.Conn)
			_, outcomes[i] = client.Send(t.Context(), shows.Buy{ShowID: "jazz", Seat: 1, Buyer: fmt.Sprint("buyer-", i)}, eventlog.Envelope{})
		})
	}
	racing.Wait()

	winner := ""
	for i, err := range outcomes {
		switch {
		case err == nil && winner == "":
			winner = fmt.Sprint("buyer-", i)
		case err == nil:
			t.Errorf("both %s and buyer-%d have the seat", winner, i)
		case !errs.Is(err, errs.Conflict):
			t.Errorf("buyer-%d: %v", i, err)
		}
	}
	if n := recorded(t, w, "SHOWS"); n != 2 {
		t.Errorf("%d events of the show, want that it is scheduled and one seat sold", n)
	}
	if got := issued(w, "jazz-1").Buyer; got != winner || winner == "" {
		t.Errorf("the ticket is %q's, the seat %q's", got, winner)
	}
}

func TestACommandSentAgain_ChangesNothing(t *testing.T) {
	w := start(t, shows.New())
	w.Do(shows.Schedule{ShowID: "jazz", Title: "Jazz night", Seats: 2}, anyone, nil)
	for _, replayed := range []bool{false, true} {
		reply, err := w.Send(t.Context(), shows.Buy{ShowID: "jazz", Seat: 1, Buyer: "ana"}, eventlog.Envelope{ID: "ana-buys"})
		if err != nil || reply.Replayed != replayed || reply.Position != "SHOWS:2" {
			t.Errorf("got %+v, %v", reply, err)
		}
	}
	if n := recorded(t, w, "SHOWS"); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestAnEventDeliveredAgain_ChangesNothing(t *testing.T) {
	w := start(t, shows.New(), doors.New())
	w.Do(shows.Schedule{ShowID: "jazz", Title: "Jazz night", Seats: 3}, anyone, nil)
	for seat := range 3 {
		w.Do(shows.Buy{ShowID: "jazz", Seat: seat + 1, Buyer: "ana"}, anyone, nil)
		issued(w, fmt.Sprint("jazz-", seat+1))
	}
	if _, err := w.JS.ResetConsumerToSequence(t.Context(), "SHOWS", "doors-on-shows", 1); err != nil { // all of it comes again
		t.Fatal(err)
	}
	eventually(t, func() bool {
		consumer, err := w.JS.Consumer(t.Context(), "SHOWS", "doors-on-shows")
		if err != nil {
			t.Fatal(err)
		}
		return consumer.CachedInfo().AckFloor.Consumer == 3 // handled since the reset
	})
	if n := recorded(t, w, "DOORS"); n != 3 {
		t.Errorf("%d tickets for 3 seats", n)
	}
	if n := recorded(t, w, "DEADLETTERS"); n != 0 {
		t.Errorf("%d messages could not be handled", n)
	}
}

func TestTheViewIsThrownAway_AndRebuiltTheSame(t *testing.T) {
	w, dir := start(t), t.TempDir()
	stop := w.Run(shows.New(), "a", dir)
	w.Do(shows.Schedule{ShowID: "jazz", Title: "Jazz night", Seats: 5}, anyone, nil)
	bought := w.Do(shows.Buy{ShowID: "jazz", Seat: 4, Buyer: "ana"}, anyone, nil)
	want := shows.Summary{ShowID: "jazz", Title: "Jazz night", Seats: 5, Sold: 1}
	var before, after shows.Summary
	if w.Get(shows.Show{ShowID: "jazz"}, anyone, bought.Position, &before); before != want {
		t.Errorf("before: %+v", before)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.Run(shows.New(), "a", dir)
	if w.Get(shows.Show{ShowID: "jazz"}, anyone, bought.Position, &after); after != want {
		t.Errorf("after: %+v", after)
	}
	if _, err := w.Query(t.Context(), shows.Show{ShowID: "rock"}, eventlog.Envelope{}); !errs.Is(err, errs.NotFound) {
		t.Errorf("a show that there is not: %v", err)
	}
}

// eventually asks again and again until it is so, for ten seconds at most.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("it does not come to be")
		}
	}
}
