package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// The checks, as violations and the summary name them.
const (
	Configuration = "configuration" // streams and consumers are as streams.yaml says
	Log           = "log"           // whole, without gaps
	Decoding      = "decoding"      // every message is an event, on its subject
	Once          = "once"          // ids are unique, a command has one effect
	Transitions   = "transitions"   // an entity's events follow each other as they may
	Stock         = "stock"         // levels are right, and never below zero
	Order         = "order"         // what the services say of an order fits together
	Money         = "money"         // captured less refunded is what the order is worth
	Views         = "views"         // rows are what the log says
	Settled       = "settled"       // nothing is under way
)

var checks = []string{Configuration, Log, Decoding, Once, Transitions, Stock, Order, Money, Views, Settled}

// Violation is a promise that is not kept, and where.
type Violation struct {
	Check    string `json:"check"`
	Stream   string `json:"stream,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	View     string `json:"view,omitempty"`   // "orders/a/book"
	Entity   string `json:"entity,omitempty"` // "order ord_1"
	Problem  string `json:"problem"`          // what is, and what was expected
}

// String is the violation in one line.
func (v Violation) String() string {
	var where []string
	switch {
	case v.Sequence > 0:
		where = append(where, fmt.Sprintf("%s:%d", v.Stream, v.Sequence))
	case v.Stream != "":
		where = append(where, "stream "+v.Stream)
	case v.View != "":
		where = append(where, "view "+v.View)
	}
	if v.Entity != "" {
		where = append(where, v.Entity)
	}
	return v.Check + ": " + strings.Join(where, " ") + ": " + strings.NewReplacer("\n", " ", "\r", " ").Replace(v.Problem)
}

// Report is what an audit found.
type Report struct {
	Violations  []Violation     `json:"violations"` // the first ones; Found counts all
	Found       map[string]int  `json:"found"`      // by check
	Streams     []StreamSummary `json:"streams"`
	Orders      map[string]int  `json:"orders"`       // by status
	UnderWay    int             `json:"under_way"`    // orders for which a reaction has yet to run
	DeadLetters int             `json:"dead_letters"` // what waits for an operator
	NoFacts     int             `json:"no_facts"`     // messages that are no events, and known as dead letters
	Views       []ViewSummary   `json:"views"`

	tell func(Violation)
}

// StreamSummary is what was read of a stream of events.
type StreamSummary struct {
	Stream string `json:"stream"`
	Facts  uint64 `json:"facts"`
	Last   uint64 `json:"last"`
}

// ViewSummary is what was compared of a view's file.
type ViewSummary struct {
	View   string `json:"view"`
	Rows   int64  `json:"rows"`
	Behind uint64 `json:"behind"` // events that the rows do not hold yet
	Note   string `json:"note,omitempty"`
}

// kept bounds the violations that a report holds: one mistake may break very many orders.
const kept = 10_000

func (r *Report) add(v Violation) {
	if r.Found == nil {
		r.Found = map[string]int{}
	}
	if r.Found[v.Check]++; len(r.Violations) < kept {
		r.Violations = append(r.Violations, v)
	}
	if r.tell != nil {
		r.tell(v)
	}
}

// Total is the number of violations.
func (r *Report) Total() (n int) {
	for _, found := range r.Found {
		n += found
	}
	return n
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// WriteSummary writes the report's tables for people, without the violations.
func (r *Report) WriteSummary(w io.Writer) error {
	streams, views, found := [][]any{{"STREAM", "FACTS", "LAST"}}, [][]any{{"VIEW", "ROWS", "BEHIND", "NOTE"}}, [][]any{{"CHECK", "VIOLATIONS"}}
	for _, s := range r.Streams {
		streams = append(streams, []any{s.Stream, s.Facts, s.Last})
	}
	for _, v := range r.Views {
		views = append(views, []any{v.View, v.Rows, v.Behind, v.Note})
	}
	for _, check := range checks {
		found = append(found, []any{check, r.Found[check]})
	}
	var orders []string
	for _, status := range slices.Sorted(maps.Keys(r.Orders)) {
		orders = append(orders, fmt.Sprintf("%d %s", r.Orders[status], status))
	}
	compared := "no views were compared\n"
	if len(r.Views) > 0 {
		compared = aligned(views)
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n%s\norders: %s; reactions are under way for %d\ndead letters: %d; messages on the streams that are no facts: %d\n%d violations\n",
		aligned(streams), compared, aligned(found), cmp.Or(strings.Join(orders, ", "), "none"), r.UnderWay, r.DeadLetters, r.NoFacts, r.Total())
	return err
}

// aligned writes rows in columns.
func aligned(rows [][]any) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(texts(row), "\t"))
	}
	_ = t.Flush() // a Builder takes everything
	return b.String()
}

func texts(row []any) (texts []string) {
	for _, cell := range row {
		if text := fmt.Sprint(cell); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}
