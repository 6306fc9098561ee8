module deis.test/pause

go 1.24.0

tool deis.test/pause
