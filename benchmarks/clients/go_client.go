// Go's net/http with kept connections: go_client go URL CONNECTIONS LEAST_S MOST_S [retries] [apart].
//
// The Transport sends an idempotent request a second time where a kept connection has died under it, and there is no
// switch for that. So that all are counted, a POST without a body is sent: it is not idempotent. With apart each worker has a pool of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"sync"
	"time"
)

// From then on a connection has been kept, and thought.
const warmAnswers = 3

type counts struct {
	Connections int            `json:"connections"`
	Answered    int            `json:"answered"`
	Refused     int            `json:"refused"`
	Retried     int            `json:"retried"`
	Lost        map[string]int `json:"lost"`
}

func main() {
	url := os.Args[2]
	connections, _ := strconv.Atoi(os.Args[3])
	least, _ := strconv.ParseFloat(os.Args[4], 64)
	most, _ := strconv.ParseFloat(os.Args[5], 64)
	method := http.MethodPost
	path := url + "upload"
	apart := false
	for _, option := range os.Args[6:] {
		switch option {
		case "retries":
			method, path = http.MethodGet, url
		case "apart":
			apart = true
		}
	}
	open := func() *http.Client {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = connections
		return &http.Client{Transport: transport, Timeout: 10 * time.Second}
	}
	shared := open()
	total := counts{Lost: map[string]int{}}
	var lock sync.Mutex
	var workers sync.WaitGroup
	unserved := connections
	stopping := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stopping)
	}()
	work := func() {
		defer workers.Done()
		answers := 0
		client := shared
		if apart {
			client = open()
		}
		for {
			select {
			case <-stopping:
				return
			default:
			}
			got, made := 0, 0
			trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				got++
				if !info.Reused {
					made++
				}
			}}
			request, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), method, path, nil)
			response, err := client.Do(request)
			status := 0
			if err == nil {
				status = response.StatusCode
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			lock.Lock()
			total.Connections += made
			if got > 1 {
				total.Retried += got - 1
			}
			switch {
			case err == nil && status == 200:
				total.Answered++
				answers++
				if answers == warmAnswers {
					if unserved--; unserved == 0 {
						fmt.Println(`{"warm":true}`)
					}
				}
			case err == nil:
				total.Lost[fmt.Sprintf("HTTP %d", status)]++
			case isUnconnected(err):
				total.Refused++
			default:
				total.Lost[name(err)]++
			}
			lock.Unlock()
			select {
			case <-stopping:
			case <-time.After(time.Duration((least + rand.Float64()*(most-least)) * float64(time.Second))):
			}
		}
	}
	workers.Add(connections)
	for i := 0; i < connections; i++ {
		go work()
	}
	workers.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(total)
}

func isUnconnected(err error) bool {
	var problem *net.OpError
	return errors.As(err, &problem) && problem.Op == "dial"
}

func name(err error) string {
	var problem interface{ Timeout() bool }
	if errors.As(err, &problem) && problem.Timeout() {
		return "timeout"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
