package openapitest_test

import (
	"fmt"
	"net/http/httptest"

	"lonja/kit/httpapi/openapitest"
)

// An answer that lacks what the document promises is an error. Tests usually get the
// document from the server itself, through [openapitest.Transport].
func Example() {
	doc, err := openapitest.Parse([]byte(document))
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"name":"bear"}`)
	fmt.Println(doc.Check(httptest.NewRequest("GET", "/toys/1", nil), nil, w.Result(), w.Body.Bytes()))
	// Output: answer 200: the header Token is missing
}
