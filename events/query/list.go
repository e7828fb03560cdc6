package query

import "lonja/events"

const (
	// MaxCounted is up to how many entries a list is counted, and how far Page.Page reaches.
	// To count more, or to skip them, would take the longer the more there are.
	MaxCounted = 10_000
	// CountAtMost is how many entries a service has to count to tell whether there are more
	// than MaxCounted.
	CountAtMost = MaxCounted + 1

	maxLimit = 100
)

// Page selects a part of a list: either the Page with a number, or what comes After another
// one.
type Page struct {
	Page  int `json:"page" required:"false"`  // from 1; 0 means 1. Page times Limit is at most 10,000
	Limit int `json:"limit" required:"false"` // 1 to 100; 0 means 20
	// After is the Meta.Next of the page before. Its filters must be the same; Limit may
	// differ. However the list changes meanwhile, no entry comes twice, and none is missing
	// that was there all the time.
	After string `json:"after,omitempty"`
}

// normal returns the page with its defaults filled in and its limit brought within bounds. The
// error is a *events.FieldError about page or after.
func (p Page) normal() (Page, error) {
	if p.Limit <= 0 {
		p.Limit = 20
	}
	p.Limit = min(p.Limit, maxLimit)
	switch {
	case p.After != "" && p.Page > 0:
		return p, events.InvalidField("after", "and page cannot be given together: after says where the page begins")
	case p.After != "":
		p.Page = 0
		return p, nil
	}
	p.Page = max(p.Page, 1)
	if p.Page > MaxCounted/p.Limit {
		return p, events.InvalidField("page", "times limit must be at most %d; to go on, send meta.next of the page before as after", MaxCounted)
	}
	return p, nil
}

// List is one page of a longer list.
type List[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta describes the place of a page in its list.
type Meta struct {
	Total int `json:"total" doc:"How many entries the whole list has, up to 10,000"`
	// TotalIsAtLeast is true when the list has more entries than Total.
	TotalIsAtLeast bool `json:"total_is_at_least,omitempty" doc:"true when there are more than total"`
	// Page is 0 when the page was selected by After.
	Page int `json:"page,omitempty" doc:"Missing when the page was selected by after"`
	// LastPage is at least 1. If TotalIsAtLeast, it is a page that cannot be selected by its
	// number.
	LastPage int `json:"last_page" doc:"The number of the last page, at least 1. When there are more entries than total, there are more pages, too"`
	// Next selects the next page, as Page.After. It is "" on the last one.
	Next string `json:"next,omitempty" doc:"Sent as after, it selects the next page. Missing on the last one"`
}

// Following returns the page that follows p, and whether there is one. M is what p was answered
// with. A service that is older than cursors knows pages by their numbers only.
func (p Page) Following(m Meta) (Page, bool) {
	switch {
	case m.Next != "":
		p.Page, p.After = 0, m.Next
		return p, true
	case p.After == "" && max(1, p.Page) < m.LastPage:
		p.Page = max(1, p.Page) + 1
		return p, true
	}
	return p, false
}

// NewList returns one page of a list, with the cursor of the next one. Counted is how many
// entries the list has, or CountAtMost if there are as many or more. The list's Data is never
// nil.
func NewList[T, K any](data []T, counted int, s Section[K], next string) List[T] {
	if data == nil {
		data = []T{}
	}
	return List[T]{data, Meta{
		Total: min(counted, MaxCounted), TotalIsAtLeast: counted > MaxCounted,
		Page: s.page, LastPage: max(1, (counted+s.Limit-1)/s.Limit), Next: next,
	}}
}
