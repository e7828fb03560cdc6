package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// The names of the checks, as violations and the summary use them.
const (
	Configuration = "configuration" // streams and consumers match streams.yaml
	Log           = "log"           // the streams are complete and have no gaps
	Decoding      = "decoding"      // every message is an event on its own subject
	Once          = "once"          // event ids are unique, and a command has one effect
	Partitions    = "partitions"    // an entity has all its events where its id puts it
	Transitions   = "transitions"   // an entity's events follow each other in a legal order
	Stock         = "stock"         // levels add up and are never negative
	Order         = "order"         // the services agree about each order
	Money         = "money"         // captured less refunded is what the order requires
	Receipts      = "receipts"      // numbers have no gaps; an order that was paid has one receipt, a refund of it one credit note
	Accounts      = "accounts"      // an address has one account, and the erased are forgotten
	Views         = "views"         // the rows are those that the log leads to
	Settled       = "settled"       // nothing is under way; only with [Config.Settled]
)

var checks = []string{Configuration, Log, Decoding, Once, Partitions, Transitions, Stock, Order, Money, Receipts, Accounts, Views, Settled}

// Violation is a broken promise and where it was found. It names entities by id
// and holds no personal data.
type Violation struct {
	Check    string `json:"check"` // one of the constants, such as [Log]
	Stream   string `json:"stream,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	View     string `json:"view,omitempty"`   // "orders/a/book"
	Entity   string `json:"entity,omitempty"` // "order ord_1"
	Problem  string `json:"problem"`          // what was found, and what was expected
}

// String returns the violation in one line.
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

// Report is the result of an audit.
type Report struct {
	Violations  []Violation     `json:"violations"` // the first 10,000; Found counts all
	Found       map[string]int  `json:"found"`      // violations by check; nil when there are none
	Streams     []StreamSummary `json:"streams"`
	Orders      map[string]int  `json:"orders"`       // by status
	Users       map[string]int  `json:"users"`        // "active" and "erased"
	UnderWay    int             `json:"under_way"`    // orders and accounts for which a reaction has yet to run
	DeadLetters int             `json:"dead_letters"` // dead letters that wait for an operator
	Undecodable int             `json:"no_facts"`     // messages that are not events and have a dead letter
	Views       []ViewSummary   `json:"views"`
	// Saved reports that the audit's state was written to [Config.Save].
	Saved bool `json:"saved,omitempty"`

	mu          sync.Mutex // held to add to it
	onViolation func(Violation)
}

// StreamSummary is what was read from a stream of events.
type StreamSummary struct {
	Stream string `json:"stream"`
	Events uint64 `json:"facts"`
	Last   uint64 `json:"last"`
}

// ViewSummary is the comparison of one view's file.
type ViewSummary struct {
	View   string `json:"view"`           // "orders/a/book": service, replica, view
	Rows   int64  `json:"rows"`           // rows that were compared
	Behind uint64 `json:"behind"`         // events that the view has not applied yet
	Note   string `json:"note,omitempty"` // why nothing was compared
}

// maxViolations bounds the violations that a report holds, because one bug can
// break very many orders.
const maxViolations = 10_000

func (r *Report) add(v Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Found == nil {
		r.Found = map[string]int{}
	}
	if r.Found[v.Check]++; len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, v)
	}
	if r.onViolation != nil {
		r.onViolation(v)
	}
}

func (r *Report) addUndecodable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Undecodable++
}

// Total returns the number of violations, including those beyond the first 10,000.
func (r *Report) Total() (n int) {
	for _, found := range r.Found {
		n += found
	}
	return n
}

// WriteJSON writes the whole report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// WriteSummary writes the report's tables for people. It leaves out the violations;
// print them from [Config.OnViolation].
func (r *Report) WriteSummary(w io.Writer) error {
	streams, views, found := [][]any{{"STREAM", "EVENTS", "LAST"}}, [][]any{{"VIEW", "ROWS", "BEHIND", "NOTE"}}, [][]any{{"CHECK", "VIOLATIONS"}}
	for _, s := range r.Streams {
		streams = append(streams, []any{s.Stream, s.Events, s.Last})
	}
	for _, v := range r.Views {
		views = append(views, []any{v.View, v.Rows, v.Behind, v.Note})
	}
	for _, check := range checks {
		found = append(found, []any{check, r.Found[check]})
	}
	compared := "no views were compared\n"
	if len(r.Views) > 0 {
		compared = aligned(views)
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n%s\norders: %s; users: %s; reactions are under way for %d\ndead letters: %d; messages that are not events: %d\n%d violations\n",
		aligned(streams), compared, aligned(found), counts(r.Orders), counts(r.Users), r.UnderWay, r.DeadLetters, r.Undecodable, r.Total())
	return err
}

// counts formats numbers by what they count: "2 paid, 1 placed".
func counts(of map[string]int) string {
	var words []string
	for _, what := range slices.Sorted(maps.Keys(of)) {
		words = append(words, fmt.Sprintf("%d %s", of[what], what))
	}
	return cmp.Or(strings.Join(words, ", "), "none")
}

// aligned formats rows in columns.
func aligned(rows [][]any) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(texts(row), "\t"))
	}
	_ = t.Flush() // writing to a Builder cannot fail
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
