package strictjson_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/strictjson"
)

type order struct {
	Email string `json:"email"`
	Items []item `json:"items"`
}

type item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

func TestDecode_NamesTheFieldAtFault(t *testing.T) {
	for body, field := range map[string]string{
		`{"Email":"a"}`:                          "Email",
		`{"email":"a","email":"b"}`:              "email",
		`{"email":5}`:                            "email",
		`{"items":[{},{"quantity":"1"}]}`:        "items[1].quantity",
		`{"items":[{"quantity":1.5}]}`:           "items[0].quantity",
		`{"items":[{"quantity":1e999}]}`:         "items[0].quantity",
		`{"items":[{"sku":"A","sku":"B"}]}`:      "items[0].sku",
		`{"` + strings.Repeat("ä", 999) + `":1}`: strings.Repeat("ä", 40) + "…",
	} {
		var into order
		var e *errs.Error
		if err := strictjson.Decode([]byte(body), &into); !errors.As(err, &e) || e.Code != errs.Invalid || e.Field != field {
			t.Errorf("%.60s: want field %s, got %v", body, field, err)
		}
	}
	var into order
	if err := strictjson.Decode([]byte(` {"items":[{"quantity":9223372036854775807}],"email":"\u00e4\ud83d\ude00"} `), &into); err != nil {
		t.Fatal(err)
	}
	if into.Email != "ä😀" || into.Items[0].Quantity != 9223372036854775807 {
		t.Errorf("%+v", into)
	}
}

func TestCheck_ReportsWhereTheTextIsNotJSON(t *testing.T) {
	for text, offset := range map[string]int64{
		``:                                   0,
		`  `:                                 2,
		`{"email":"a`:                        11,
		`{"email":"pass` + "\xe4" + `word"}`: 14,
		"{\"em\xffail\":1}":                  4,
		`{"email":"pass\ud800word"}`:         14,
		`{"email":"pass\udc00word"}`:         14,
		"{\"email\":\"\xed\xa0\x80\"}":       10, // a surrogate, encoded as UTF-8
		`{"email":""} {}`:                    13,
		`{"email":""}]`:                      12,
		"\xef\xbb\xbf{}":                     0,
		`{'email':1}`:                        1,
		`{"items":[{"quantity":01}]}`:        23,
	} {
		for name, err := range map[string]error{"Check": strictjson.Check([]byte(text)), "Decode": strictjson.Decode([]byte(text), &order{})} {
			var syntax *strictjson.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset != offset {
				t.Errorf("%s %q: want an error at byte %d, got %v", name, text, offset, err)
			}
		}
	}
	if err := strictjson.Check([]byte(` {"email":"\ud83d\ude00","email":[1e999]} `)); err != nil {
		t.Errorf("syntax is valid, but Check returned %v", err)
	}
}

func TestCheck_MemoryDoesNotGrowWithTheText(t *testing.T) {
	for _, text := range []string{
		`{` + strings.Repeat(`"a":0,`, 100_000) + `"a":0}`,
		`[` + strings.Repeat(`{},`, 200_000) + `{}]`,
		strings.Repeat(`[`, 9_000) + strings.Repeat(`]`, 9_000),
		`"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		data := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := strictjson.Check(data); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<18 {
			t.Errorf("%.20s…: %d bytes were allocated for %d", text, n, len(text))
		}
	}
}
