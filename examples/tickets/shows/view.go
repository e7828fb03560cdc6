package shows

import (
	"context"

	"tickets/events"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

var viewDefinition = projection.Definition{
	Name: "shows",
	Schema: `
CREATE TABLE shows (
	id    TEXT PRIMARY KEY,
	title TEXT NOT NULL,
	seats INTEGER NOT NULL,
	sold  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;`,
	Reads:   []projection.Source{{Stream: "SHOWS", Subjects: []string{"events.show.>"}}},
	Project: project,
}

// project turns an event into rows. Adding 1 is safe: rows and checkpoint are one
// transaction, so each event is counted once.
func project(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.ShowScheduled:
		return tx.Exec(`INSERT INTO shows (id, title, seats) VALUES (?, ?, ?)`, e.ShowID, e.Title, e.Seats)
	case events.SeatSold:
		return tx.Exec(`UPDATE shows SET sold = sold + 1 WHERE id = ?`, e.ShowID)
	}
	return nil
}

// Show asks for the Summary of a show.
type Show struct {
	ShowID string `json:"show_id"`
}

// QueryName names service and query.
func (Show) QueryName() string { return "shows.show" }

// Summary is what everybody may know of a show.
type Summary struct {
	ShowID string `json:"show_id"`
	Title  string `json:"title"`
	Seats  int    `json:"seats"`
	Sold   int    `json:"sold"`
}

func answer(view *projection.View) func(context.Context, Show, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q Show, _ eventlog.Actor) (any, error) {
		if err := eventlog.CheckEntityID("show_id", q.ShowID); err != nil {
			return nil, err
		}
		s := Summary{ShowID: q.ShowID}
		found, err := view.Get(ctx, `SELECT title, seats, sold FROM shows WHERE id = ?`, []any{q.ShowID}, &s.Title, &s.Seats, &s.Sold)
		if err == nil && !found {
			err = errs.New(errs.NotFound, "there is no show %s", q.ShowID)
		}
		return s, err
	}
}
