package client

import (
	"iter"
	"net/url"
	"strconv"
)

// Paging selects a page of a list: by its number, or by the page before.
type Paging struct {
	Page  int // the first is 1; 0 means 1, unless there is After. Page times Limit is at most 10,000
	Limit int // entries on a page, 1 to 100; 0 means 20, or 100 if all pages are read
	// After is the [Meta].Next of the page before. The other fields of the query must be the
	// same, but for Limit. No entry comes twice or is missing because others are added.
	After string
}

// List is one page of a longer list.
type List[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta is the position of a page in its list.
type Meta struct {
	Total int `json:"total"` // entries on all pages, up to 10,000
	// TotalIsAtLeast reports that there are more than Total entries.
	TotalIsAtLeast bool   `json:"total_is_at_least,omitempty"`
	Page           int    `json:"page,omitempty"` // 0 if the page was selected by After
	LastPage       int    `json:"last_page"`      // at least 1; there are more if TotalIsAtLeast
	Next           string `json:"next,omitempty"` // the next page's After; "" on the last one
}

// values adds the paging to the fields of a query string, and removes empty fields.
func (p Paging) values(fields url.Values) url.Values {
	for name, number := range map[string]int{"page": p.Page, "limit": p.Limit} {
		if number != 0 {
			fields.Set(name, strconv.Itoa(number))
		}
	}
	fields.Set("after", p.After)
	for name := range fields {
		if fields.Get(name) == "" {
			fields.Del(name)
		}
	}
	return fields
}

// following returns which page follows one, and whether there is one. A server that is older
// than cursors knows pages by their numbers only.
func (p Paging) following(m Meta) (Paging, bool) {
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

// all returns the entries of a list from a page on, and ends after an error. Entries that are
// added meanwhile may be returned or not; the others are returned once.
func all[T any](from Paging, list func(Paging) (*List[T], error)) iter.Seq2[T, error] {
	if from.Limit == 0 {
		from.Limit = 100
	}
	return func(yield func(T, error) bool) {
		for p, more := from, true; more; {
			page, err := list(p)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, entry := range page.Data {
				if !yield(entry, nil) {
					return
				}
			}
			p, more = p.following(page.Meta)
		}
	}
}
