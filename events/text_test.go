package events_test

import (
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/command"
)

func TestText_CountsWhatAPersonSees(t *testing.T) {
	family := "👨\u200d👩\u200d👧\u200d👦"
	for name, tt := range map[string]struct {
		text  string
		least int
		wrong string
	}{
		"ten letters":                {"abcdefghij", 1, ""},
		"eleven letters":             {"abcdefghijk", 1, "at most 10"},
		"ten letters with accents":   {strings.Repeat("e\u0301", 10), 1, ""},
		"ten families":               {strings.Repeat(family, 10), 1, ""},
		"eleven families":            {strings.Repeat(family, 11), 1, "at most 10"},
		"marks heaped on one letter": {"a" + strings.Repeat("\u0301", 10_000), 1, "at most 10"},
		"three letters, each marked": {"e\u0301e\u0301e\u0301", 4, "at least 4"},
		"nothing but spaces":         {" \u3000", 1, "empty"},
		"nothing":                    {"", 0, ""},
		"no UTF-8":                   {"a\xe9", 1, "UTF-8"},
	} {
		err := events.Text("name", tt.text, tt.least, 10)
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: want %q, got %v", name, tt.wrong, err)
		}
	}
}

func TestVisible_RejectsMisleadingTexts(t *testing.T) {
	for name, text := range map[string]string{
		"override": "a\u202eb", "isolate": "a\u2066b\u2069", "mark": "\u200fb", "zero width space": "a\u200bb", "soft hyphen": "a\u00adb",
		"byte order mark": "\ufeffa", "joiner between Latin letters": "a\u200db", "non-joiner between Latin letters": "a\u200cb",
		"joiner at the end": "नम\u200d", "two joiners": "न\u200d\u200dम", "filler": "a\u3164", "tag": "a\U000e0061", "line end": "a\nb", "tab": "a\tb",
		"line separator": "a\u2028b", "blank braille": "\u2800", "grapheme joiner": "a\u034fb", "variation of a letter": "a\ufe0f", "C1": "a\u0085b",
	} {
		if err := events.Visible("name", text); err == nil {
			t.Errorf("%s: %q was accepted", name, text)
		}
	}
	for _, text := range []string{"", "Ana García", "علی\u200cرضا", "क्\u200dष", "👩\u200d🚀", "❤\ufe0f", "1\ufe0f\u20e3", "葛\U000e0100城", "🏴‍☠️", "שלום", "١٢\u0600"} {
		if err := events.Visible("name", text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWebAddress(t *testing.T) {
	for _, bad := range []string{"javascript:alert(1)", "JavaScript://shop.example/%0aalert(1)", "data:text/html,x", "//shop.example/a.jpg", "/a.jpg", "a.jpg",
		"http:a.jpg", "http:///a.jpg", "https://:80/a", "ftp://shop.example/a.jpg", "https://ana:secret@shop.example/", " https://shop.example/", "https://shop.example/\x00"} {
		if events.WebAddress("image_url", bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	for _, good := range []string{"", "https://shop.example/a.jpg", "HTTP://127.0.0.1:8080/a?b=c#d", "https://[::1]/a", "https://bücher.example/ä.jpg"} {
		if err := events.WebAddress("image_url", good); err != nil {
			t.Error(err)
		}
	}
}

func TestEmailKeys_IncludeThoseOfEarlierVersions(t *testing.T) {
	for address, want := range map[string][]string{
		" Ana@Example.com": {"ana@example.com"},
		"JOSE\u0301@x.com": {"josé@x.com", "jose\u0301@x.com"},
		"JOS\u00c9@x.com":  {"josé@x.com", "jose\u0301@x.com"},
		"straße@x.com":     {"strasse@x.com", "straße@x.com"},
		"ΟΔΟΣ@x.com":       {"οδοσ@x.com"},
		"οδος@x.com":       {"οδοσ@x.com", "οδος@x.com"},
	} {
		if got := command.EmailKeys(address); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q: want %q, got %q", address, want, got)
		}
	}
}

func TestChangeProduct_NormalChecksOnlyWhatChanges(t *testing.T) {
	cafe, script, picture := "Cafe\u0301", "javascript:alert(1)", "https://shop.example/a.jpg"
	n, err := command.ChangeProduct{SKU: "A", Name: &cafe, ImageURL: &picture}.Normal()
	if err != nil || *n.Name != "Café" || *n.ImageURL != picture || n.Category != nil || cafe != "Cafe\u0301" {
		t.Errorf("%+v %v", n, err)
	}
	if _, err := (command.ChangeProduct{SKU: "A", ImageURL: &script}).Normal(); err == nil {
		t.Error("a script was accepted as a picture")
	}
}
