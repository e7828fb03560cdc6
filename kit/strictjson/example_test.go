package strictjson_test

import (
	"fmt"

	"lonja/kit/strictjson"
)

func ExampleDecode() {
	for _, body := range []string{
		`{"sku":"A-1","quantity":2}`,
		`{"sku":"A-1","quantity":2.5}`,
		`{"sku":"A-1","Quantity":2}`,
		`{"sku":"A-1","sku":"B-2"}`,
		`{"sku":"A-1"`,
	} {
		var line struct {
			SKU      string `json:"sku"`
			Quantity int64  `json:"quantity"`
		}
		if err := strictjson.Decode([]byte(body), &line); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(line.Quantity, "of", line.SKU)
	}
	// Output:
	// 2 of A-1
	// invalid: quantity must be a whole number, and not too large
	// invalid: Quantity is not a field of this request; names are written in lower case
	// invalid: sku is given twice
	// not JSON at byte 12: the text ends too early
}

// Check costs no memory, so a server can run it before it knows who sends.
func ExampleCheck() {
	fmt.Println(strictjson.Check([]byte(`{"email":"ana@example.com"} `)))
	fmt.Println(strictjson.Check([]byte("{\"email\":\"an\xe4\"}")))
	// Output:
	// <nil>
	// not JSON at byte 12: invalid UTF-8
}
