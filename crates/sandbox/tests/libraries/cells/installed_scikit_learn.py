from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
iris = load_iris()
scores = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), iris.data, iris.target, cv=3)
# --- next cell
assert scores.mean() > 0.9
centers = KMeans(3, n_init=2, random_state=0).fit(iris.data).cluster_centers_      # OpenMP
assert centers.shape == (3, 4)
x, y = make_classification(300, random_state=0)
assert HistGradientBoostingClassifier(max_iter=10).fit(x, y).score(x, y) > 0.9      # OpenMP
# --- next cell
forest = RandomForestClassifier(20, n_jobs=2, random_state=0).fit(x, y)             # joblib, threads
assert forest.score(x, y) > 0.9
parallel = cross_val_score(LogisticRegression(), x, y, cv=2, n_jobs=2)              # joblib, processes (loky)
assert len(parallel) == 2
# --- next cell
assert KMeans(3, n_init=2, random_state=0).fit(iris.data).inertia_ < 100
print("ok")
