package query_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

func TestSectionOf_PagesByNumberEndAtTenThousandEntries(t *testing.T) {
	for _, c := range []struct {
		page   query.Page
		limit  int
		offset int
	}{
		{query.Page{}, 20, 0},
		{query.Page{Page: -3, Limit: -1}, 20, 0},
		{query.Page{Page: 3, Limit: 7}, 7, 14},
		{query.Page{Page: 2, Limit: 1_000_000}, 100, 100},
		{query.Page{Page: 500, Limit: 20}, 20, 9_980},
		{query.Page{Page: 10_000, Limit: 1}, 1, 9_999},
	} {
		s, err := query.SectionOf[int](c.page, "numbers")
		if err != nil || s.Limit != c.limit || s.Offset != c.offset || s.Begins != nil {
			t.Errorf("%+v is %+v, %v", c.page, s, err)
		}
	}
	for _, far := range []query.Page{{Page: 501}, {Page: 101, Limit: 100}, {Page: 10_001, Limit: 1}, {Page: math.MaxInt, Limit: 100}} {
		_, err := query.SectionOf[int](far, "numbers")
		var wrong *events.FieldError
		if !errors.As(err, &wrong) || wrong.Path != "page" || !strings.Contains(wrong.Detail, "after") {
			t.Errorf("%+v: %v", far, err)
		}
	}
}

func TestNewList_CountsUpToTenThousand(t *testing.T) {
	s, err := query.SectionOf[int](query.Page{Page: 2, Limit: 30}, "numbers")
	if err != nil {
		t.Fatal(err)
	}
	for counted, want := range map[int]string{
		0:                 `{"data":[],"meta":{"total":0,"page":2,"last_page":1}}`,
		30:                `{"data":[],"meta":{"total":30,"page":2,"last_page":1}}`,
		10_000:            `{"data":[],"meta":{"total":10000,"page":2,"last_page":334}}`,
		query.CountAtMost: `{"data":[],"meta":{"total":10000,"total_is_at_least":true,"page":2,"last_page":334}}`,
	} {
		if got, _ := json.Marshal(query.NewList([]int(nil), counted, s, "")); string(got) != want {
			t.Errorf("%d: %s, want %s", counted, got, want)
		}
	}
}

// key has whatever a list may be sorted by.
type key struct {
	Name   string
	Number int64
}

func TestCursor_SaysWhereTheNextPageBegins(t *testing.T) {
	for _, last := range []key{{}, {"a", 1}, {"<&>\u2028\"\\", math.MaxInt64}, {"日本 e\u0301", math.MinInt64}, {strings.Repeat("é", 250), -1}} {
		for _, filters := range [][]string{nil, {""}, {"a list"}, {"a list", "", `"`}, {"a list", `"`, ""}} {
			first, err := query.SectionOf[key](query.Page{}, filters...)
			if err != nil || first.Next(last, false) != "" {
				t.Fatal(err)
			}
			cursor := first.Next(last, true)
			next, err := query.SectionOf[key](query.Page{Limit: 50, After: cursor}, filters...)
			if err != nil || *next.Begins != last || next.Offset != 0 || next.Limit != 50 {
				t.Fatalf("after %+v comes %+v, %v", last, next, err)
			}
			for what, err := range map[string]error{
				"of other filters":   sectionError[key](query.Page{After: cursor}, append(slices.Clone(filters), "")...),
				"with a page":        sectionError[key](query.Page{After: cursor, Page: 1}, filters...),
				"of another kind":    sectionError[[]string](query.Page{After: cursor}, filters...),
				"with a blank":       sectionError[key](query.Page{After: cursor + " "}, filters...),
				"with one character": sectionError[key](query.Page{After: cursor[:1]}, filters...),
			} {
				var wrong *events.FieldError
				if !errors.As(err, &wrong) || wrong.Path != "after" {
					t.Fatalf("a cursor %s: %v", what, err)
				}
			}
		}
	}
}

// Whatever somebody sends as a cursor, it is rejected, or is one that could have been given out.
func FuzzCursor(f *testing.F) {
	section, err := query.SectionOf[key](query.Page{}, "a list")
	if err != nil {
		f.Fatal(err)
	}
	good, _ := base64.RawURLEncoding.DecodeString(section.Next(key{"a", 1}, true))
	f.Add([]byte("x"))
	for at := range good {
		other := slices.Clone(good)
		other[at] ^= 1
		f.Add(other)
	}
	for _, text := range []string{"", "null", "[]", `{"Name":"a"}`, `{"Number":1e400}`, `{"name":"a","Number":1}`, ` {"Name":"a","Number":1}`,
		`{"Name":"a","Number":1,"More":2}`, `{"Name":"a","Number":1}{}`, `{"Name":"a","Number":9223372036854775808}`, strings.Repeat("[", 700)} {
		f.Add(append(slices.Clone(good[:7]), text...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cursor := base64.RawURLEncoding.EncodeToString(raw)
		s, err := query.SectionOf[key](query.Page{After: cursor}, "a list")
		var wrong *events.FieldError
		switch {
		case err != nil && (!errors.As(err, &wrong) || wrong.Path != "after"):
			t.Fatal(err)
		case err == nil && cursor != "" && section.Next(*s.Begins, true) != cursor:
			t.Fatalf("%q was taken for %+v", raw, *s.Begins)
		}
	})
}

func sectionError[K any](p query.Page, list ...string) error {
	_, err := query.SectionOf[K](p, list...)
	return err
}

// A service that is older than cursors sends none, and its pages go on by number.
func TestPage_Following(t *testing.T) {
	for _, c := range []struct {
		page query.Page
		meta query.Meta
		want query.Page
		more bool
	}{
		{query.Page{Page: 1, Limit: 20}, query.Meta{Page: 1, LastPage: 3, Next: "c"}, query.Page{Limit: 20, After: "c"}, true},
		{query.Page{Limit: 20, After: "c"}, query.Meta{LastPage: 3, Next: "d"}, query.Page{Limit: 20, After: "d"}, true},
		{query.Page{Limit: 20, After: "d"}, query.Meta{LastPage: 3}, query.Page{}, false},
		{query.Page{Limit: 20}, query.Meta{Page: 1, LastPage: 2}, query.Page{Page: 2, Limit: 20}, true},
		{query.Page{Page: 2, Limit: 20}, query.Meta{Page: 2, LastPage: 2}, query.Page{}, false},
	} {
		got, more := c.page.Following(c.meta)
		if more != c.more || more && got != c.want {
			t.Errorf("after %+v %+v comes %+v, %v", c.page, c.meta, got, more)
		}
	}
}
