package doors

import (
	"testing"
	"time"

	"tickets/events"

	"lonja/kit/decider"
)

func TestIssue_OnceForASeat(t *testing.T) {
	sold := events.SeatSold{ShowID: "jazz", Seat: 7, Buyer: "ana"}
	m := decider.Meta{EntityID: ticketID(sold)}
	issued, err := issue(ticket{}, sold, m)
	if want := (events.TicketIssued{TicketID: "jazz-7", ShowID: "jazz", Seat: 7, Buyer: "ana"}); issued != want || err != nil {
		t.Fatalf("got %+v, %v", issued, err)
	}
	if again, err := issue(evolve(ticket{}, issued, time.Time{}), sold, m); again != nil || err != nil {
		t.Errorf("delivered again: %+v, %v", again, err)
	}
}
