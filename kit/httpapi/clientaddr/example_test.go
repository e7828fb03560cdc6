package clientaddr_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"lonja/kit/httpapi/clientaddr"
)

// A request passes through a proxy on loopback, which appends the address that it
// received the request from. What the client itself wrote into the header is ignored.
func ExampleProxies_Client() {
	trusted, err := clientaddr.ParseProxies([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "trusting nobody:", clientaddr.Proxies(nil).Client(r))
		fmt.Fprintln(w, "trusting the proxy:", trusted.Client(r))
	}))
	defer server.Close()

	req, err := http.NewRequest("GET", server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "10.1.1.1, 192.0.2.7") // the first is the client's own claim, the second the proxy's
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(body))
	// Output:
	// trusting nobody: 127.0.0.1
	// trusting the proxy: 192.0.2.7
}
